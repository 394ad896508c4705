#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/pipeline/training/trained_network.hpp>
#include <flowdarts/spaces/support/error.hpp>

#include <string>
#include <vector>

namespace flowdarts {
namespace {

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return Checkpoint::parse(read_file(path), path.string());
  const std::filesystem::path folder = path / "checkpoints";
  if (!std::filesystem::is_directory(folder, error)) {
    throw InputError(path.string() + ": found no folder checkpoints, expected a run directory of flowdarts train");
  }
  return CheckpointStore::load_newest(folder).checkpoint;
}

}  // namespace

TrainedNetwork load_trained(const std::filesystem::path& checkpoint_or_run) {
  const Checkpoint checkpoint = read_checkpoint(checkpoint_or_run);
  const std::string where = checkpoint_or_run.string();
  if (!checkpoint.has("network")) {
    throw InputError(where + ": found a checkpoint of a search, expected one of flowdarts train");
  }
  StandAlone description;
  try {
    description = stand_alone_from_json(checkpoint.section("network").get_string());
  } catch (const InputError& reason) {
    throw InputError(where + ": " + reason.what());
  }
  TrainedNetwork trained{.description = description, .network = StandAloneNetwork(description)};
  const std::string prefix = checkpoint.has("averaged weights") ? "averaged " : "";
  const auto restore = [&](const std::string& name, const std::vector<torch::Tensor>& tensors) {
    ByteReader reader = checkpoint.section(prefix + name);
    restore_tensors(tensors, reader.get_raw(reader.remaining()), where + ": section " + prefix + name);
  };
  restore("weights", trained.network.module().parameters());
  restore("statistics", trained.network.module().buffers());
  trained.network.module().eval();
  trained.epoch = checkpoint.section("position").get<std::int64_t>();
  return trained;
}

}  // namespace flowdarts
