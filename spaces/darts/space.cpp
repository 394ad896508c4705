#include <flowdarts/spaces/darts/derive.hpp>
#include <flowdarts/spaces/darts/draw.hpp>
#include <flowdarts/spaces/darts/space.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <limits>
#include <optional>

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

/// The matrices of ops, times the weights of their edges where there are any.
std::vector<std::vector<double>> with_edge_weights(const std::vector<std::vector<double>>& scores) {
  std::vector<std::vector<double>> terms{scores.at(0), scores.at(1)};
  if (scores.size() < 4) return terms;
  for (std::size_t kind = 0; kind < 2; ++kind) {
    const std::vector<double>& edges = scores[2 + kind];
    const std::size_t columns = terms[kind].size() / edges.size();
    for (std::size_t place = 0; place < terms[kind].size(); ++place) terms[kind][place] *= edges[place / columns];
  }
  return terms;
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
          {.name = "imagenet",
           .help = "on 10 % and 2.5 % of each class of ImageNet, a folder, as PC-DARTS",
           .values = {{"dataset", "folder"},
                      {"image-size", "224"},
                      {"stem", "imagenet"},
                      {"epochs", "50"},
                      {"batch-size", "1024"},
                      {"train-portion", "0.1"},
                      {"val-portion", "0.025"},
                      {"w-lr", "0.5"},
                      {"w-lr-min", "0"},
                      {"w-warm-up", "5"},
                      {"alpha-lr", "0.006"},
                      {"alpha-clip", "5"}},
           .base = "paper"},
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
  const auto cell = [&](std::size_t kind) {
    return scores.size() == 4 ? darts::derive(scores[kind], scores[2 + kind], nodes())
                              : darts::derive(scores.at(kind), nodes());
  };
  return {cell(0), cell(1)};
}

std::vector<OpGroup> Darts::op_groups() const {
  std::vector<OpGroup> groups;
  for (std::size_t kind = 0; kind < 2; ++kind) {
    for (int node = 0; node < nodes(); ++node) {
      groups.push_back({.matrix = kind,
                        .first_row = static_cast<std::int64_t>(darts::first_edge(node)),
                        .rows = node + darts::input_states,
                        .keep = 2});
    }
  }
  return groups;
}

darts::Genotype Darts::derive_by_group(const std::vector<std::vector<double>>& scores) const {
  return {darts::derive_of_nodes(scores.at(0), nodes()), darts::derive_of_nodes(scores.at(1), nodes())};
}

darts::Genotype Darts::derive_with_skip_limit(const std::vector<std::vector<double>>& scores,
                                              const std::vector<std::vector<bool>>& masks, std::int64_t skips) const {
  const darts::SupernetSpec own = spec(/*classes=*/1);
  const auto cell = [&](std::size_t kind, std::optional<int> limit) {
    darts::OpMask mask = darts::all_ops(nodes());
    std::vector<double> probabilities(mask.size() * darts::candidate_count);
    for (std::size_t edge = 0; edge < mask.size(); ++edge) {
      for (std::size_t op = 0; op < darts::candidate_count; ++op) {
        const int column = own.column_of(static_cast<darts::Op>(op));
        const std::size_t place = edge * static_cast<std::size_t>(own.columns()) + static_cast<std::size_t>(column);
        mask[edge][op] = column >= 0 && masks.at(kind).at(place);
        if (!mask[edge][op]) continue;
        const double edge_weight = scores.size() == 4 ? scores[2 + kind].at(edge) : 1.0;
        probabilities[edge * darts::candidate_count + op] = scores.at(kind).at(place) * edge_weight;
      }
    }
    return darts::derive_progressive(mask, probabilities, limit);
  };
  return {cell(0, static_cast<int>(skips)), cell(1, std::nullopt)};
}

darts::NetworkFrame Darts::frame_for(const NetworkInput& input) const {
  const bool imagenet = options_.stem.value == darts::Stem::imagenet;
  darts::NetworkFrame frame{imagenet ? darts::imagenet_network : darts::cifar_network, input.image_size};
  frame.spec.classes = input.classes;
  frame.spec.auxiliary = false;
  return frame;
}

NetworkCost Darts::cost(const Genotype& genotype, const NetworkInput& input) const {
  return darts::cost_of(genotype, frame_for(input));
}

NetworkCost Darts::least_cost(const NetworkInput& input) const {
  return darts::least_cost(nodes(), frame_for(input));
}

std::optional<darts::Genotype> Darts::derive_within(const std::vector<std::vector<double>>& scores,
                                                    const Budget& budget, const NetworkInput& input) const {
  const std::vector<std::vector<double>> terms = with_edge_weights(scores);
  return darts::derive_within(terms.at(0), terms.at(1), nodes(), darts::NodeRule::two_edges, budget, frame_for(input));
}

std::optional<darts::Genotype> Darts::derive_by_group_within(const std::vector<std::vector<double>>& scores,
                                                             const Budget& budget, const NetworkInput& input) const {
  return darts::derive_within(scores.at(0), scores.at(1), nodes(), darts::NodeRule::two_ops, budget, frame_for(input));
}

std::optional<darts::Genotype> Darts::derive_with_skip_limit_within(const std::vector<std::vector<double>>& scores,
                                                                    const std::vector<std::vector<bool>>& masks,
                                                                    std::int64_t skips, const Budget& budget,
                                                                    const NetworkInput& input) const {
  std::vector<std::vector<double>> terms = with_edge_weights(scores);
  for (std::size_t kind = 0; kind < terms.size(); ++kind) {
    for (std::size_t place = 0; place < terms[kind].size(); ++place) {
      if (!masks.at(kind).at(place)) terms[kind][place] = -std::numeric_limits<double>::infinity();
    }
  }
  return darts::derive_within(terms.at(0), terms.at(1), nodes(), darts::NodeRule::two_edges, budget, frame_for(input),
                              static_cast<int>(skips));
}

std::string Darts::draw(const Genotype& genotype) {
  return darts::draw(genotype);
}

}  // namespace flowdarts
