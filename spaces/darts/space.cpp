#include <flowdarts/spaces/darts/derive.hpp>
#include <flowdarts/spaces/darts/draw.hpp>
#include <flowdarts/spaces/darts/space.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>

namespace flowdarts {
namespace {

// The supernet halves the resolution twice, with the ImageNet stem five times, and batch norm needs more than one value
// of a channel even where a batch has one image.
void check_image_size_for(int image_size, darts::Stem stem) {
  const int multiple = darts::size_multiple(stem);
  if (image_size % multiple != 0 || image_size < 2 * multiple) {
    throw InputError("--image-size: found " + std::to_string(image_size) + ", expected a multiple of " +
                     std::to_string(multiple) + ", at least " + std::to_string(2 * multiple) +
                     ": the supernet halves the resolution " + (stem == darts::Stem::cifar ? "twice" : "five times"));
  }
}

}  // namespace

std::vector<Preset> Darts::presets() {
  return {{.name = "paper",
           .help = "the settings of the method's paper",
           .values = {{"epochs", "50"},
                      {"batch-size", "64"},
                      {"train-portion", "0.5"},
                      {"channels", "16"},
                      {"cells", "8"},
                      {"w-lr", "0.025"},
                      {"w-lr-min", "0.001"},
                      {"w-weight-decay", "0.0003"},
                      {"alpha-lr", "0.0003"},
                      {"alpha-weight-decay", "0.001"}}},
          {.name = "quick",
           .help = "a small supernet on 4000 images for 10 epochs",
           .values = {{"epochs", "10"},
                      {"batch-size", "64"},
                      {"limit-samples", "4000"},
                      {"channels", "4"},
                      {"cells", "3"},
                      {"alpha-lr", "0.003"}}}};
}

Darts::Darts(Options options) : options_(std::move(options)) {
  darts::check(spec(/*classes=*/1));
}

void Darts::check_image_size(int image_size) {
  check_image_size_for(image_size, darts::Stem::cifar);
}

darts::SupernetSpec Darts::spec(std::int64_t classes) const {
  return {.channels = options_.channels,
          .cells = options_.cells,
          .classes = classes,
          .nodes = static_cast<int>(options_.nodes.value),
          .stem = options_.stem,
          .with_none = options_.with_none,
          .pool_norm = options_.pool_norm,
          .conv_bias = options_.conv_bias,
          .last_norm = options_.last_norm,
          .track_running_stats = options_.track_statistics};
}

std::shared_ptr<Supernet> Darts::make_supernet(const darts::SupernetSpec& spec, int image_size, SupernetForm form) {
  check_image_size_for(image_size, spec.stem);
  check(form);
  if (form.mixed_op == MixedOpForm::fused) return std::make_shared<darts::FusedSupernet>(spec, form.precision);
  return std::make_shared<darts::OracleSupernet>(spec);
}

darts::Genotype Darts::derive(const std::vector<std::vector<double>>& scores) const {
  const auto nodes = static_cast<int>(options_.nodes.value);
  const auto cell = [&](std::size_t kind) {
    return scores.size() == 4 ? darts::derive(scores[kind], scores[2 + kind], nodes)
                              : darts::derive(scores.at(kind), nodes);
  };
  return {cell(0), cell(1)};
}

std::string Darts::draw(const Genotype& genotype) {
  return darts::draw(genotype);
}

}  // namespace flowdarts
