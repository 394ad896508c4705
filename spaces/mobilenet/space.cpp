#include <algorithm>
#include <flowdarts/spaces/mobilenet/draw.hpp>
#include <flowdarts/spaces/mobilenet/space.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>

namespace flowdarts {
namespace {

mobilenet::Widths widths_of(const std::string& text) {
  try {
    return mobilenet::parse_widths(text);
  } catch (const InputError& error) {
    throw InputError(std::string("--widths: ") + error.what());
  }
}

}  // namespace

std::vector<OpGroup> Mobilenet::op_groups() {
  std::vector<OpGroup> groups;
  for (std::size_t layer = 0; layer < mobilenet::layer_count; ++layer) {
    groups.push_back({.matrix = layer, .first_row = 0, .rows = 1, .keep = 1});
  }
  return groups;
}

std::vector<Preset> Mobilenet::presets() {
  return {{.name = "paper",
           .help = "the settings of the method's paper; it searches on 12.5 % of ImageNet",
           .values = {{"epochs", "30"},
                      {"batch-size", "640"},
                      {"train-portion", "0.8"},
                      {"w-lr", "0.5"},
                      {"w-lr-min", "0"},
                      {"w-weight-decay", "0.0003"},
                      {"alpha-lr", "0.006"},
                      {"alpha-weight-decay", "0.001"}}},
          {.name = "imagenet",
           .help = "on 10 % and 2.5 % of each class of ImageNet, a folder",
           .values = {{"dataset", "folder"},
                      {"image-size", "224"},
                      {"train-portion", "0.1"},
                      {"val-portion", "0.025"},
                      {"w-warm-up", "5"},
                      {"alpha-clip", "5"}},
           .base = "paper"},
          {.name = "quick",
           .help = "a narrow supernet on 4000 small images for 10 epochs",
           .values = {{"epochs", "10"},
                      {"batch-size", "64"},
                      {"limit-samples", "4000"},
                      {"widths", "8,4,8,8,12,12,16,16,64"},
                      {"stem-stride", "1"},
                      {"alpha-lr", "0.003"}}}};
}

Mobilenet::Mobilenet(const Options& options) : widths_(widths_of(options.widths)), stem_stride_(options.stem_stride) {}

void Mobilenet::check_image_size(int image_size) const {
  // Batch norm needs more than one value of a channel even where a batch has one image.
  const int halvings = stem_stride_ == 2 ? 5 : 4;
  if (image_size > 1 << halvings) return;
  throw InputError("--image-size: found " + std::to_string(image_size) + ", expected at least " +
                   std::to_string((1 << halvings) + 1) + ": the supernet halves the resolution " +
                   std::to_string(halvings) + " times (--stem-stride " + std::to_string(stem_stride_) + ")");
}

void Mobilenet::check_channels() const {
  if (*std::ranges::min_element(widths_.stages.begin() + 1, widths_.stages.end()) > 1) return;
  throw InputError("--widths: found " + mobilenet::to_string(widths_) +
                   ", expected at least 2 in stages 1 to 6: channel variance needs at least two channels");
}

std::shared_ptr<Supernet> Mobilenet::make_supernet(std::int64_t classes, int image_size, SupernetForm form) const {
  check_image_size(image_size);
  check(form);
  const mobilenet::SupernetSpec spec{.widths = widths_, .classes = classes, .stem_stride = stem_stride_};
  if (form.mixed_op == MixedOpForm::fused) {
    return std::make_shared<mobilenet::FusedSupernet>(spec, form.precision);
  }
  return std::make_shared<mobilenet::OracleSupernet>(spec);
}

mobilenet::NetworkShape Mobilenet::shape_for(const NetworkInput& input) const {
  return {.widths = widths_,
          .classes = input.classes,
          .image_size = input.image_size,
          .stem_stride = static_cast<int>(stem_stride_)};
}

NetworkCost Mobilenet::cost(const Genotype& genotype, const NetworkInput& input) const {
  const mobilenet::NetworkCounts counts = count_network(genotype, shape_for(input));
  return {counts.params, counts.macs};
}

NetworkCost Mobilenet::least_cost(const NetworkInput& input) const {
  return mobilenet::least_cost(shape_for(input));
}

std::optional<mobilenet::Genotype> Mobilenet::derive_within(const std::vector<std::vector<double>>& scores,
                                                            const Budget& budget, const NetworkInput& input) const {
  return mobilenet::derive_within(scores, budget, shape_for(input));
}

std::string Mobilenet::draw(const Genotype& genotype) {
  return mobilenet::draw(genotype);
}

}  // namespace flowdarts
