#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/pipeline/trained_tensors.hpp>

#include <utility>

namespace flowdarts {

std::string statistics_of(std::size_t rank) {
  std::string name = statistics_section;
  name += " of rank ";
  name += std::to_string(rank);
  return name;
}

void put_tensors(Snapshot& snapshot, const TrainedTensors& trained, const OpMasks& masks) {
  snapshot.emplace_back("weights", tensor_bytes(trained.supernet.parameters()));
  snapshot.emplace_back(statistics_section, tensor_bytes(trained.supernet.buffers()));
  snapshot.emplace_back("momentum", tensor_bytes(trained.sgd.momentum()));
  snapshot.emplace_back("alpha", tensor_bytes(trained.adam.alphas()));
  snapshot.emplace_back("alpha first moment", tensor_bytes(trained.adam.first_moment()));
  snapshot.emplace_back("alpha second moment", tensor_bytes(trained.adam.second_moment()));
  ByteWriter steps;
  steps.put(trained.adam.steps());
  snapshot.emplace_back("alpha steps", std::move(steps).take());
  if (masks.empty()) return;
  ByteWriter writer;
  writer.put(std::uint64_t{masks.size()});
  for (const std::vector<bool>& mask : masks) {
    writer.put_vector(std::vector<std::uint8_t>(mask.begin(), mask.end()));
  }
  snapshot.emplace_back("masks", std::move(writer).take());
}

void get_tensors(const Checkpoint& checkpoint, const TrainedTensors& trained) {
  const auto restore = [&](const char* name, const std::vector<torch::Tensor>& tensors) {
    ByteReader reader = checkpoint.section(name);
    restore_tensors(tensors, reader.get_raw(reader.remaining()), std::string("checkpoint section ") + name);
  };
  restore("weights", trained.supernet.parameters());
  restore(statistics_section, trained.supernet.buffers());
  restore("momentum", trained.sgd.momentum());
  restore("alpha", trained.adam.alphas());
  restore("alpha first moment", trained.adam.first_moment());
  restore("alpha second moment", trained.adam.second_moment());
  trained.adam.set_steps(checkpoint.section("alpha steps").get<std::int64_t>());
}

OpMasks get_masks(ByteReader reader, const OpMasks& all) {
  if (const auto count = reader.get<std::uint64_t>(); count != all.size()) {
    reader.fail("found " + std::to_string(count) + " masks, expected " + std::to_string(all.size()));
  }
  OpMasks masks;
  for (const std::vector<bool>& whole : all) {
    const auto values = reader.get_vector<std::uint8_t>();
    if (values.size() != whole.size()) {
      reader.fail("found a mask of " + std::to_string(values.size()) + " ops, expected " +
                  std::to_string(whole.size()));
    }
    masks.emplace_back(values.begin(), values.end());
  }
  reader.expect_end();
  return masks;
}

std::string first_non_finite(const TrainedTensors& trained, bool with_statistics) {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  for (std::size_t m = 0; m < trained.adam.alphas().size(); ++m) {
    tensors.emplace_back("alpha " + std::to_string(m), trained.adam.alphas()[m]);
  }
  for (const auto& weight : trained.supernet.named_parameters()) {
    tensors.emplace_back("weight " + weight.key(), weight.value());
  }
  if (with_statistics) {
    for (const auto& statistic : trained.supernet.named_buffers()) {
      tensors.emplace_back("statistic " + statistic.key(), statistic.value());
    }
  }
  return first_non_finite(tensors);
}

OpMasks all_left(std::span<const ArchShape> shapes) {
  OpMasks masks;
  for (const ArchShape& shape : shapes) masks.emplace_back(static_cast<std::size_t>(shape.rows * shape.columns), true);
  return masks;
}

std::vector<torch::Tensor> to_tensors(const OpMasks& masks, std::span<const ArchShape> shapes, torch::Device device) {
  std::vector<torch::Tensor> tensors;
  for (std::size_t m = 0; m < masks.size(); ++m) {
    const std::vector<float> values(masks[m].begin(), masks[m].end());
    tensors.push_back(torch::tensor(values).view({shapes[m].rows, shapes[m].columns}).to(device));
  }
  return tensors;
}

}  // namespace flowdarts
