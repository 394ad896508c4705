#include <flowdarts/pipeline/training/presets.hpp>
#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/mobilenet/genotype.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace flowdarts {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

/// Plain SGD: what the recipes have in common. A recipe changes it, never what another one left.
const Values common{
    {"optimizer", "sgd"},       {"momentum", "0.9"},       {"nesterov", "false"},      {"clip", "0"},
    {"schedule", "cosine"},     {"lr-min", "0"},           {"warmup-epochs", "0"},     {"warmup-above", "0"},
    {"label-smoothing", "0"},   {"auxiliary-weight", "0"}, {"drop-path", "0"},         {"dropout", "0"},
    {"average-decay", "0"},     {"cutout", "0"},           {"rand-augment", "0"},      {"lighting", "0"},
    {"jitter-brightness", "0"}, {"jitter-contrast", "0"},  {"jitter-saturation", "0"}, {"jitter-hue", "0"},
    {"resize", "bilinear"}};

Values with(Values values, const Values& changes) {
  for (const auto& [flag, text] : changes) {
    const auto known = std::ranges::find(values, flag, &std::pair<std::string, std::string>::first);
    if (known != values.end()) {
      known->second = text;
    } else {
      values.emplace_back(flag, text);
    }
  }
  return values;
}

std::vector<Preset> nas_bench_201_presets() {
  // Dong and Yang, "NAS-Bench-201", ICLR 2020.
  const Values paper =
      with(common,
           {{"epochs", "200"}, {"batch-size", "256"}, {"lr", "0.1"}, {"nesterov", "true"}, {"weight-decay", "0.0005"}});
  return {
      {.name = "nas-bench-201", .help = "of its table of 200 epochs", .values = paper},
      {.name = "nas-bench-201-12", .help = "of its table of 12 epochs", .values = with(paper, {{"epochs", "12"}})},
      {.name = "quick",
       .help = "a small network on part of the images, minutes on two cores",
       .values = with(
           paper,
           {{"epochs", "6"}, {"batch-size", "64"}, {"limit-samples", "5000"}, {"image-size", "32"}, {"cells", "1"}})}};
}

std::vector<Preset> darts_presets() {
  // Liu, Simonyan, Yang, ICLR 2019; Xu et al., "PC-DARTS", ICLR 2020; Chen et al., "P-DARTS", ICCV 2019; He et al.,
  // "IS-DARTS", AAAI 2024: their published commands.
  const Values cifar = with(common, {{"epochs", "600"},
                                     {"batch-size", "96"},
                                     {"lr", "0.025"},
                                     {"weight-decay", "0.0003"},
                                     {"clip", "5"},
                                     {"cutout", "16"},
                                     {"auxiliary-weight", "0.4"},
                                     {"drop-path", "0.2"}});
  const Values is{{"nesterov", "true"}, {"clip", "0"}, {"warmup-epochs", "5"}, {"warmup", "proportional"}};
  const Values imagenet = with(common, {{"stem", "imagenet"},
                                        {"image-size", "224"},
                                        {"epochs", "250"},
                                        {"batch-size", "128"},
                                        {"lr", "0.1"},
                                        {"schedule", "step"},
                                        {"step-factor", "0.97"},
                                        {"step-epochs", "1"},
                                        {"weight-decay", "0.00003"},
                                        {"clip", "5"},
                                        {"label-smoothing", "0.1"},
                                        {"auxiliary-weight", "0.4"},
                                        {"auxiliary-norm", "false"},
                                        {"jitter-brightness", "0.4"},
                                        {"jitter-contrast", "0.4"},
                                        {"jitter-saturation", "0.4"},
                                        {"jitter-hue", "0.2"}});
  const auto linear = [&](const Values& changes) {
    return with(with(imagenet, {{"schedule", "linear"}, {"warmup-epochs", "5"}, {"warmup-above", "256"}}), changes);
  };
  return {
      {.name = "darts-cifar", .help = "DARTS, Beta-DARTS", .values = cifar},
      {.name = "pc-darts-cifar", .help = "PC-DARTS", .values = with(cifar, {{"drop-path", "0.3"}})},
      {.name = "p-darts-cifar",
       .help = "P-DARTS",
       .values = with(cifar, {{"batch-size", "128"}, {"drop-path", "0.3"}})},
      {.name = "is-darts-cifar", .help = "IS-DARTS", .values = with(cifar, is)},
      {.name = "darts-imagenet", .help = "DARTS", .values = imagenet},
      {.name = "pc-darts-imagenet",
       .help = "PC-DARTS, Beta-DARTS",
       .values = linear({{"batch-size", "1024"}, {"lr", "0.5"}, {"warmup", "proportional"}})},
      {.name = "p-darts-imagenet",
       .help = "P-DARTS",
       .values = linear({{"batch-size", "256"}, {"warmup", "scaled"}, {"auxiliary-norm", "true"}})},
      {.name = "is-darts-imagenet",
       .help = "IS-DARTS",
       .values = with(with(imagenet, is), {{"schedule", "cosine"}, {"lighting", "0.1"}, {"auxiliary-norm", "true"}})},
      {.name = "quick",
       .help = "",
       .values = with(cifar, {{"epochs", "6"},
                              {"batch-size", "64"},
                              {"limit-samples", "5000"},
                              {"image-size", "32"},
                              {"lr", "0.05"},
                              {"channels", "8"},
                              {"cells", "5"},
                              {"drop-path", "0"}})}};
}

std::vector<Preset> mobilenet_presets() {
  // Li et al., "DNA: Blockwisely Supervised NAS", CVPR 2020: its published command.
  const Values paper = with(common, {{"epochs", "500"},
                                     {"batch-size", "1024"},
                                     {"optimizer", "rmsprop"},
                                     {"rms-decay", "0.9"},
                                     {"rms-epsilon", "0.001"},
                                     {"lr", "0.064"},
                                     {"schedule", "step"},
                                     {"step-factor", "0.963"},
                                     {"step-epochs", "3"},
                                     {"warmup-epochs", "5"},
                                     {"warmup", "from"},
                                     {"warmup-lr", "0.0001"},
                                     {"weight-decay", "0.0001"},
                                     {"label-smoothing", "0.1"},
                                     {"dropout", "0.2"},
                                     {"drop-path", "0.2"},
                                     {"average-decay", "0.9998"},
                                     {"resize", "bicubic"},
                                     {"jitter-brightness", "0.06"},
                                     {"jitter-contrast", "0.06"},
                                     {"jitter-saturation", "0.06"}});
  return {{.name = "mobilenet", .help = "DNA, BDP-DARTS", .values = paper},
          {.name = "quick",
           .help = "",
           .values = with(common, {{"epochs", "6"},
                                   {"batch-size", "64"},
                                   {"limit-samples", "5000"},
                                   {"image-size", "32"},
                                   {"lr", "0.05"},
                                   {"nesterov", "true"},
                                   {"weight-decay", "0.00004"},
                                   {"label-smoothing", "0.1"},
                                   {"widths", "16,8,12,16,24,32,40,64,256"},
                                   {"stem-stride", "1"}})}};
}

}  // namespace

std::vector<Preset> training_presets(std::string_view space) {
  if (space == darts::space_name) return darts_presets();
  return space == mobilenet::space_name ? mobilenet_presets() : nas_bench_201_presets();
}

}  // namespace flowdarts
