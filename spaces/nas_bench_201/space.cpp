#include <flowdarts/spaces/nas_bench_201/draw.hpp>
#include <flowdarts/spaces/nas_bench_201/space.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>

namespace flowdarts {

NasBench201::NasBench201(Options options)
    : options_(std::move(options)),
      table_(options_.benchmark_table.value.empty()
                 ? nas_bench_201::BenchmarkTable::shipped()
                 : nas_bench_201::BenchmarkTable::load(options_.benchmark_table.value)) {}

std::vector<OpGroup> NasBench201::op_groups() {
  std::vector<OpGroup> groups;
  for (std::size_t edge = 0; edge < nas_bench_201::edges.size(); ++edge) {
    groups.push_back({.matrix = 0, .first_row = static_cast<std::int64_t>(edge), .rows = 1, .keep = 1});
  }
  return groups;
}

std::vector<Preset> NasBench201::presets() {
  return {{.name = "paper",
           .help = "the settings of the method's paper",
           .values = {{"epochs", "100"},
                      {"batch-size", "64"},
                      {"train-portion", "0.5"},
                      {"channels", "16"},
                      {"cells", "5"},
                      {"w-lr", "0.025"},
                      {"w-lr-min", "0.001"},
                      {"w-nesterov", "false"},
                      {"w-weight-decay", "0.0003"},
                      {"alpha-lr", "0.0003"},
                      {"alpha-weight-decay", "0.001"}}},
          {.name = "imagenet16-120",
           .help = "paper on ImageNet16-120",
           .values = {{"dataset", "imagenet16-120"}, {"padding", "2"}},
           .base = "paper"},
          // A tenth of the epochs and of the images: alpha has to move faster to get anywhere.
          {.name = "quick",
           .help = "a small supernet on 4000 images for 10 epochs, minutes on two cores",
           .values = {{"epochs", "10"},
                      {"batch-size", "64"},
                      {"limit-samples", "4000"},
                      {"channels", "8"},
                      {"cells", "1"},
                      {"alpha-lr", "0.003"}}}};
}

void NasBench201::check_image_size(int image_size) {
  // The supernet halves the resolution twice, and batch norm needs more than one value of a channel even where a batch
  // has one image.
  if (image_size % 4 != 0 || image_size < 8) {
    throw InputError("--image-size: found " + std::to_string(image_size) +
                     ", expected a multiple of 4, at least 8: the supernet halves the resolution twice");
  }
}

nas_bench_201::SupernetSpec NasBench201::spec(std::int64_t classes) const {
  return {
      .channels = options_.channels,
      .cells = options_.cells,
      .classes = classes,
      .conv_bias = options_.conv_bias,
      .track_running_stats = options_.track_statistics,
  };
}

std::shared_ptr<Supernet> NasBench201::make_supernet(const nas_bench_201::SupernetSpec& spec, int image_size,
                                                     SupernetForm form) {
  check_image_size(image_size);
  check(form);
  if (form.mixed_op == MixedOpForm::fused) {
    return std::make_shared<nas_bench_201::FusedSupernet>(spec, form.precision);
  }
  return std::make_shared<nas_bench_201::OracleSupernet>(spec);
}

namespace {

nas_bench_201::NetworkShape shape_for(const NetworkInput& input) {
  return {.classes = input.classes, .image_size = input.image_size};
}

}  // namespace

NetworkCost NasBench201::cost(const Genotype& genotype, const NetworkInput& input) {
  const nas_bench_201::NetworkCounts counts = count_network(genotype, shape_for(input));
  return {counts.params, counts.macs};
}

NetworkCost NasBench201::least_cost(const NetworkInput& input) {
  return nas_bench_201::least_cost(shape_for(input));
}

std::optional<nas_bench_201::Genotype> NasBench201::derive_within(const std::vector<std::vector<double>>& scores,
                                                                  const Budget& budget, const NetworkInput& input) {
  return nas_bench_201::derive_within(scores.at(0), budget, shape_for(input));
}

std::vector<std::pair<std::string, double>> NasBench201::true_accuracies(const Genotype& genotype) const {
  using nas_bench_201::DataSet;
  return {{"cifar10", table_.accuracy(genotype, DataSet::cifar10)},
          {"cifar100", table_.accuracy(genotype, DataSet::cifar100)},
          {"imagenet16_120", table_.accuracy(genotype, DataSet::imagenet16_120)}};
}

std::string NasBench201::draw(const Genotype& genotype) {
  return nas_bench_201::draw(genotype);
}

}  // namespace flowdarts
