#pragma once

#include <cstdint>
#include <flowdarts/spaces/support/error.hpp>
#include <string>

namespace flowdarts {

/// Pruning every `epochs` epochs, the window of the variance of error (BDP).
struct PruneWindow {
  std::int64_t epochs;

  /// Throws InputError when the window does not fit the search.
  void check(std::int64_t search_epochs) const {
    if (epochs > search_epochs) {
      throw InputError("--prune-window: found " + std::to_string(epochs) + ", expected at most --epochs, which is " +
                       std::to_string(search_epochs));
    }
  }

  /// Whether an event follows the given number of completed epochs. Never after the last: nothing would come of it.
  [[nodiscard]] bool ends_after(std::int64_t completed, std::int64_t search_epochs) const {
    return completed % epochs == 0 && completed < search_epochs;
  }
};

}  // namespace flowdarts
