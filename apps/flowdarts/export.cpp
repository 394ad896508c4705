#include <filesystem>
#include <flowdarts/spaces/stand_alone/spec.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>

#include "commands.hpp"

namespace flowdarts::app {
namespace {

/// The text of its genotype.
std::string genotype_of(const std::string& source) {
  if (std::filesystem::is_directory(source)) return to_string(read_architecture(source));
  const Checkpoint checkpoint = checkpoint_of(source);
  if (is_of_training(checkpoint)) {
    return to_string(stand_alone_from_json(checkpoint.section("network").get_string()).architecture);
  }
  ByteReader derived = checkpoint.section("derived");
  derived.get<bool>();
  std::string text = derived.get_string();
  if (text.empty()) throw InputError(source + ": found no genotype yet, expected a checkpoint after a measurement");
  return text;
}

}  // namespace

Checkpoint checkpoint_of(const std::string& source) {
  if (!std::filesystem::exists(source)) {
    throw InputError(quote(source) + ": found no such file or folder, expected a run directory or a checkpoint");
  }
  if (!std::filesystem::is_directory(source)) return Checkpoint::parse(read_file(source), source);
  const std::filesystem::path folder = std::filesystem::path(source) / "checkpoints";
  if (!std::filesystem::is_directory(folder)) {
    throw InputError(source + ": found no folder checkpoints, expected a run directory");
  }
  return CheckpointStore::load_newest(folder).checkpoint;
}

bool is_of_training(const Checkpoint& checkpoint) {
  return checkpoint.has("network");
}

void Export::declare(CLI::App& command) {
  command.add_option("RUN", source, "Run directory of a training or a search, or one of its checkpoints")->required();
  command.add_option("--onnx", onnx, "Write the trained network as an ONNX file (opset 13, any batch and image size)");
  command.add_flag("--fold-bn", fold_bn, "ONNX: batch norms right behind a convolution become part of it");
  command.add_flag("--features", features, "ONNX: the last feature map of every resolution is an output, too");
  command.add_option("--safetensors", safetensors,
                     "Write the weights under the module names of the papers' PyTorch code");
  command.add_flag("--supernet", supernet, "Of a search: weights and alpha of its search network, with --safetensors");
  command.add_flag("--genotype-text", genotype_text, "Print the genotype as the text of its space");
}

void Export::check() const {
  if (is_text_alone() && !genotype_text) {
    throw InputError("export: found nothing to write, expected --onnx, --safetensors or --genotype-text");
  }
  if (supernet && onnx) throw InputError("export: --supernet excludes --onnx");
  const auto needs = [](bool given, const char* option, bool other, const char* needed) {
    if (given && !other) throw InputError(std::string("export: ") + option + " requires " + needed);
  };
  needs(supernet, "--supernet", safetensors.has_value(), "--safetensors");
  needs(fold_bn, "--fold-bn", onnx.has_value(), "--onnx");
  needs(features, "--features", onnx.has_value(), "--onnx");
}

std::string Export::text() const {
  return genotype_text ? genotype_of(source) + "\n" : "";
}

}  // namespace flowdarts::app
