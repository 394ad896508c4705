#include <algorithm>
#include <array>
#include <flowdarts/spaces/stand_alone/network.hpp>

namespace flowdarts {
namespace {

StandAloneNetwork::Network make(const nas_bench_201::Genotype& genotype, const StandAloneSpec& spec) {
  std::array<int, nas_bench_201::cell_edges.size()> ops{};
  std::ranges::transform(genotype.ops, ops.begin(), [](nas_bench_201::Op op) { return static_cast<int>(op); });
  return std::make_shared<nas_bench_201::Network>(ops, spec.channels, spec.cells, spec.classes);
}

StandAloneNetwork::Network make(const darts::Genotype& genotype, const StandAloneSpec& spec) {
  return std::make_shared<darts::Network>(genotype, darts_spec(spec));
}

StandAloneNetwork::Network make(const mobilenet::Genotype& genotype, const StandAloneSpec& spec) {
  return std::make_shared<mobilenet::Network>(genotype, spec.classes, spec.widths, spec.stem_stride);
}

StandAloneOutput run(nas_bench_201::Network& network, const torch::Tensor& images,
                     const StandAloneDropout& /*dropout*/) {
  return {.logits = network.forward(images)};
}

StandAloneOutput run(darts::Network& network, const torch::Tensor& images, const StandAloneDropout& dropout) {
  return network.forward(images, {.probability = dropout.path, .seed = dropout.seed});
}

StandAloneOutput run(mobilenet::Network& network, const torch::Tensor& images, const StandAloneDropout& dropout) {
  return {.logits = network.forward(
              images, {.layers = {.probability = dropout.path, .seed = dropout.seed}, .features = dropout.features})};
}

}  // namespace

StandAloneNetwork::StandAloneNetwork(const StandAlone& description)
    : network_(std::visit([&](const auto& genotype) { return make(genotype, description.spec); },
                          description.architecture)) {
  // What counts the network knows its ranges and what image it can take.
  static_cast<void>(count_network(description));
}

StandAloneOutput StandAloneNetwork::forward(const torch::Tensor& images, const StandAloneDropout& dropout) const {
  return std::visit([&](const auto& network) { return run(*network, images, dropout); }, network_);
}

torch::nn::Module& StandAloneNetwork::module() const {
  return std::visit([](const auto& network) -> torch::nn::Module& { return *network; }, network_);
}

}  // namespace flowdarts
