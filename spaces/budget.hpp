#pragma once
// Architectures that may cost only so much: of those within a budget, the one that a search ranks best. No LibTorch.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace flowdarts {

/// Of a stand-alone network: learnable parameters, and multiply-accumulates of one forward pass of one image.
struct NetworkCost {
  std::int64_t params = 0;
  std::int64_t macs = 0;

  NetworkCost& operator+=(const NetworkCost& other) {
    params += other.params;
    macs += other.macs;
    return *this;
  }
  friend NetworkCost operator+(NetworkCost a, const NetworkCost& b) { return a += b; }
  friend NetworkCost operator-(const NetworkCost& a, const NetworkCost& b) {
    return {a.params - b.params, a.macs - b.macs};
  }
  friend bool operator==(const NetworkCost&, const NetworkCost&) = default;
};

/// The most a network may cost; 0: as much as it likes.
struct Budget {
  std::int64_t max_params = 0;
  std::int64_t max_macs = 0;

  [[nodiscard]] bool limits() const { return max_params > 0 || max_macs > 0; }
  [[nodiscard]] bool holds(const NetworkCost& cost) const {
    return (max_params == 0 || cost.params <= max_params) && (max_macs == 0 || cost.macs <= max_macs);
  }
};

/// What stand-alone networks of a search's data are built for.
struct NetworkInput {
  int classes;
  int image_size;  // side in pixels
};

/// One of the things that a group of choices may be, what it is worth (more is better; -infinity: it may not be) and
/// what it adds to the cost.
struct Choice {
  double score;
  NetworkCost cost;
};

/// One choice of each group, so that the sum of the scores is the largest of all whose costs, with `fixed` added, are
/// within the budget: their places in the groups. None where no choice of each is. Exact, for any number of groups
/// whose costs take few values, as those of layers and cells do; of equal sums it takes the same one every time.
[[nodiscard]] std::optional<std::vector<std::size_t>> best_within(std::span<const std::vector<Choice>> groups,
                                                                  const NetworkCost& fixed, const Budget& budget);

/// The least parameters and the least MACs that one choice of each group can have, with `fixed`; they may be those of
/// different choices.
[[nodiscard]] NetworkCost least_cost(std::span<const std::vector<Choice>> groups, const NetworkCost& fixed);

}  // namespace flowdarts
