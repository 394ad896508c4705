// flowdarts-export: the part of `flowdarts export` that needs LibTorch.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <flowdarts/pipeline/training/trained_network.hpp>
#include <flowdarts/spaces/export/safetensors.hpp>
#include <flowdarts/spaces/export/stand_alone.hpp>
#include <flowdarts/spaces/module_weights.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/exit_code.hpp>
#include <flowdarts/spaces/support/version.hpp>
#include <iostream>
#include <span>
#include <utility>
#include <vector>

#include "../flowdarts/commands.hpp"
#include "searched_supernet.hpp"

namespace {

using namespace flowdarts;

void write(const std::string& file, std::span<const std::byte> bytes) {
  write_file_atomically(file, bytes);
  std::cerr << file << ": " << bytes.size() << " bytes\n";
}

void write_tensors(const std::string& file, const Weights& weights, const std::map<std::string, std::string>& facts) {
  write(file, to_safetensors(weights, batch_counters(weights), facts));
}

/// The name of the data set that a run was trained on.
std::string data_set_of(const Checkpoint& checkpoint) {
  const auto found = std::ranges::find(checkpoint.identity(), "--dataset", &Identity::value_type::first);
  return found == checkpoint.identity().end() ? "" : found->second;
}

void write_trained(const app::Export& asked, const Checkpoint& checkpoint) {
  const TrainedNetwork trained = load_trained(asked.source);
  const Weights weights = weights_of(trained.network.module());
  const Architecture& architecture = trained.description.architecture;
  const std::vector<std::pair<std::string, std::string>> facts{
      {"space", std::string(space_of(architecture))},
      {"genotype", to_string(architecture)},
      {"epochs", std::to_string(trained.epoch)},
      {"dataset", data_set_of(checkpoint)},
      {"image_size", std::to_string(trained.description.spec.image_size)}};
  if (asked.onnx) {
    const std::string model = to_onnx(trained.description, weights,
                                      {.fold_bn = asked.fold_bn, .features = asked.features, .metadata = facts});
    write(*asked.onnx, std::as_bytes(std::span(model)));
  }
  if (asked.safetensors) {
    write_tensors(*asked.safetensors, renamed(weights, published_modules(trained.description)),
                  {facts.begin(), facts.end()});
  }
}

void write_asked(const app::Export& asked) {
  const Checkpoint checkpoint = app::checkpoint_of(asked.source);
  const bool of_search = !app::is_of_training(checkpoint);
  if (asked.supernet && !of_search) {
    throw InputError(asked.source + ": found a training, which has no search network; leave --supernet out");
  }
  if (!asked.supernet && of_search) {
    throw InputError(asked.source +
                     ": found a search, whose architecture has no weights of its own yet; train it with "
                     "'flowdarts train' and export that run, or the search network with --supernet");
  }
  const std::string text = asked.text();  // first: it may refuse
  if (of_search) {
    const app::SearchedSupernet supernet = app::read_supernet(checkpoint, asked.source);
    write_tensors(*asked.safetensors, supernet.weights, supernet.facts);
  } else {
    write_trained(asked, checkpoint);
  }
  std::cout << text;
}

int run(int argc, char** argv) {
  CLI::App program("What a search or a training has found, in files that others read.", "flowdarts export");
  program.set_version_flag("--version", std::string("flowdarts ") + version_text);
  app::Export asked;
  asked.declare(program);
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return program.exit(help);
  } catch (const CLI::ParseError& error) {
    throw InputError(std::string("export: ") + error.what());
  }
  asked.check();
  if (asked.is_text_alone()) {
    std::cout << asked.text();
  } else {
    write_asked(asked);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return flowdarts::exit_code_of("flowdarts", [&] { return run(argc, argv); });
}
