#pragma once
// Ranking of samples by score. Every back end gives the same ranking bit for bit: ties go to the lower position.

#include <cstdint>
#include <flowdarts/stages/prune/device_sorter.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace flowdarts {

enum class SortBackend : std::uint8_t {
  serial,  // std::stable_sort
  thrust,  // Thrust on oneTBB, in the caller's task arena
  cuda,    // Thrust on a GPU
};

constexpr std::string_view name_of(SortBackend backend) {
  switch (backend) {
    case SortBackend::serial:
      return "serial";
    case SortBackend::thrust:
      return "thrust";
    case SortBackend::cuda:
      return "cuda";
  }
  return "";
}

/// Whether rank() can use this back end: `cuda` needs a build with FLOWDARTS_CUDA and a GPU in this machine.
[[nodiscard]] bool is_available(SortBackend backend);

/// The back end to use and, for `cuda`, what it works with, for as many scores at least; null: rank() makes one for
/// itself, for which the whole device has to wait. Ignored by the others.
struct Sorter {
  SortBackend backend = SortBackend::thrust;
  DeviceSorter* device = nullptr;
};

enum class SortOrder : std::uint8_t { ascending, descending };

/// Positions of the eligible scores, in order of score; equal scores (0 and -0 are equal) in order of position.
/// `eligible` has one flag a score, or none: all are eligible. Scores of others are not looked at.
/// RunError if an eligible score is NaN, if the back end is not available (there is no fall-back), or on a CUDA
/// failure.
[[nodiscard]] std::vector<std::uint32_t> rank(std::span<const double> scores, std::span<const std::uint8_t> eligible,
                                              SortOrder order, Sorter sorter = {});

}  // namespace flowdarts
