#include <flowdarts/spaces/darts/spec.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string>

namespace flowdarts::darts {
namespace {

void check(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return;
  throw InputError(std::string("DARTS network: ") + name + ": found " + std::to_string(value) + ", expected " +
                   std::to_string(low) + " to " + std::to_string(high));
}

void check_sizes(std::int64_t channels, std::int64_t cells, std::int64_t classes, Stem stem) {
  check("channels", channels, 1, 4096);
  check("cells", cells, 1, 100);
  check("classes", classes, 1, 1'000'000);
  if (stem == Stem::imagenet && channels % 2 != 0) {
    throw InputError("DARTS network: channels: found " + std::to_string(channels) +
                     ", expected an even number with the ImageNet stem");
  }
}

}  // namespace

OpMask all_ops(int nodes) {
  std::array<bool, candidate_count> row{};
  row.fill(true);
  return OpMask(edge_count(nodes), row);
}

void check(const SupernetSpec& spec) {
  check_sizes(spec.channels, spec.cells, spec.classes, spec.stem);
  check("nodes", spec.nodes, 1, max_nodes);
  check("partial channels K", spec.partial, 1, spec.channels);
  if (spec.channels % spec.partial != 0) {
    throw InputError("DARTS network: partial channels K: found " + std::to_string(spec.partial) +
                     ", expected a divisor of the " + std::to_string(spec.channels) + " channels");
  }
  for (const auto& [name, mask] : {std::pair{"normal", &spec.normal}, {"reduction", &spec.reduce}}) {
    if (!mask->empty() && mask->size() != edge_count(spec.nodes)) {
      throw InputError(std::string("DARTS network: mask of the ") + name + " cells: found " +
                       std::to_string(mask->size()) + " edges, expected " + std::to_string(edge_count(spec.nodes)));
    }
  }
}

void check(const NetworkSpec& spec) {
  check_sizes(spec.channels, spec.cells, spec.classes, spec.stem);
}

std::vector<CellPlace> cell_places(std::int64_t channels, std::int64_t cells, Stem stem, std::int64_t stem_channels,
                                   std::int64_t normal_width, std::int64_t reduce_width) {
  std::vector<CellPlace> places;
  CellPlace place{.channels_prev_prev = stem_channels,
                  .channels_prev = stem_channels,
                  .channels = channels,
                  .reduction = false,
                  .reduction_prev = stem == Stem::imagenet,
                  .channels_out = 0};
  for (std::int64_t i = 0; i < cells; ++i) {
    place.reduction = i == cells / 3 || i == 2 * cells / 3;
    if (place.reduction) place.channels *= 2;
    place.channels_out = place.channels * (place.reduction ? reduce_width : normal_width);
    places.push_back(place);
    place.channels_prev_prev = place.channels_prev;
    place.channels_prev = place.channels_out;
    place.reduction_prev = place.reduction;
  }
  return places;
}

std::vector<CellPlace> cell_places(const SupernetSpec& spec) {
  return cell_places(spec.channels, spec.cells, spec.stem, stem_channels(spec), spec.nodes, spec.nodes);
}

std::vector<CellPlace> cell_places(const NetworkSpec& spec, const Genotype& genotype) {
  return cell_places(spec.channels, spec.cells, spec.stem, stem_channels(spec),
                     static_cast<std::int64_t>(genotype.normal.concat.size()),
                     static_cast<std::int64_t>(genotype.reduce.concat.size()));
}

std::int64_t stem_channels(const SupernetSpec& spec) {
  return 3 * spec.channels;
}

std::int64_t stem_channels(const NetworkSpec& spec) {
  return spec.stem == Stem::cifar ? 3 * spec.channels : spec.channels;
}

}  // namespace flowdarts::darts
