#pragma once

#include <cstdint>
#include <flowdarts/policies/shrinking/narrow.hpp>
#include <vector>

namespace flowdarts::testing {

/// A search as a shrinking policy sees it.
struct Setting {
  std::int64_t completed_epochs = 0;
  std::int64_t all_epochs = 0;
  std::vector<ArchShape> matrices;
  std::vector<OpGroup> competing;
  OpMasks left;
  OpScores importance;
  std::vector<torch::Tensor> alpha;
  int asked = 0;

  [[nodiscard]] std::int64_t completed() const { return completed_epochs; }
  [[nodiscard]] std::int64_t epochs() const { return all_epochs; }
  [[nodiscard]] const std::vector<ArchShape>& shapes() const { return matrices; }
  [[nodiscard]] const std::vector<OpGroup>& groups() const { return competing; }
  [[nodiscard]] OpMasks masks() const { return left; }
  [[nodiscard]] const std::vector<torch::Tensor>& alphas() const { return alpha; }
  OpScores scores() {
    ++asked;
    return importance;
  }
  void set_masks(const OpMasks& masks) { left = masks; }
};

}  // namespace flowdarts::testing
