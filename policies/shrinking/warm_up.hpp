#pragma once

#include <cstdint>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flowdarts {

/// What VP-DARTS' ways to prune share: epochs in which w alone is trained, and dropout behind skips in all updates of
/// the search.
class WarmUp {
 public:
  WarmUp(std::int64_t epochs, double skip_dropout) : epochs_(epochs), skip_dropout_(skip_dropout) {}

  [[nodiscard]] bool over(std::int64_t epoch) const { return epoch >= epochs_; }
  [[nodiscard]] std::int64_t epochs() const { return epochs_; }
  [[nodiscard]] double skip_dropout() const { return skip_dropout_; }

  /// Throws InputError unless `needed` epochs of a search follow.
  void check(std::int64_t search_epochs, std::int64_t needed) const {
    if (search_epochs - epochs_ < needed) {
      throw InputError("--shrink-warm-up: found " + std::to_string(epochs_) + ", expected at most " +
                       std::to_string(search_epochs - needed) + " of --epochs, which is " +
                       std::to_string(search_epochs));
    }
  }

  /// The paper's settings (VP-DARTS, section 4.1) and small ones. The MobileNet-like space, of which it says nothing,
  /// keeps its own number of epochs: the same part of them is warm-up.
  static std::vector<Preset> presets(std::string_view space) {
    if (space == "mobilenet") {
      return {{.name = "paper", .values = {{"shrink-warm-up", "12"}, {"shrink-skip-dropout", "0.2"}}},
              {.name = "quick", .values = {{"shrink-warm-up", "4"}}}};
    }
    return {{.name = "paper",
             .values = {{"epochs", "50"},
                        {"w-nesterov", "true"},
                        {"w-weight-decay", "0.0005"},
                        {"shrink-warm-up", "20"},
                        {"shrink-skip-dropout", "0.2"}}},
            {.name = "quick", .values = {{"shrink-warm-up", "4"}}}};
  }

 private:
  std::int64_t epochs_;
  double skip_dropout_;
};

}  // namespace flowdarts
