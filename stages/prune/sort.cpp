#include <algorithm>
#include <bit>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/prune/sort.hpp>
#include <flowdarts/stages/prune/sort_keys.hpp>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>

namespace flowdarts {
namespace {

[[noreturn]] void refuse_cuda() {
  throw RunError("sort back end cuda: found no GPU or a build without CUDA, expected one of serial, thrust");
}

}  // namespace

namespace detail {

void sort_keys_serial(const std::uint64_t* keys, std::uint32_t* positions, std::size_t size) {
  std::iota(positions, positions + size, 0U);
  std::stable_sort(positions, positions + size,
                   [keys](std::uint32_t left, std::uint32_t right) { return keys[left] < keys[right]; });
}

#ifndef FLOWDARTS_CUDA
bool cuda_device_present() {
  return false;
}
#endif

}  // namespace detail

#ifndef FLOWDARTS_CUDA
std::unique_ptr<DeviceSorter> make_device_sorter(std::size_t) {
  refuse_cuda();
}
#endif

namespace {

constexpr std::uint64_t last_key = std::numeric_limits<std::uint64_t>::max();  // of no number: its bits are a NaN's

/// An unsigned integer that orders as the score does, so that a radix sort can sort it.
std::uint64_t key_of(double score, SortOrder order) {
  const auto bits = std::bit_cast<std::uint64_t>(score + 0.0);  // -0 becomes 0
  const std::uint64_t sign = std::uint64_t{1} << 63U;
  const std::uint64_t ascending = (bits & sign) != 0 ? ~bits : bits | sign;
  return order == SortOrder::ascending ? ascending : ~ascending;
}

}  // namespace

bool is_available(SortBackend backend) {
  return backend != SortBackend::cuda || detail::cuda_device_present();
}

std::vector<std::uint32_t> rank(std::span<const double> scores, std::span<const std::uint8_t> eligible, SortOrder order,
                                Sorter sorter) {
  const std::size_t size = scores.size();
  if (!eligible.empty() && eligible.size() != size) {
    throw std::invalid_argument("rank: as many eligibility flags as scores expected");
  }
  if (size > std::numeric_limits<std::uint32_t>::max()) throw std::length_error("rank: more than 2^32 - 1 scores");
  if (!is_available(sorter.backend)) refuse_cuda();

  std::vector<std::uint64_t> host_keys;
  std::unique_ptr<DeviceSorter> own;
  DeviceSorter* device = sorter.device;
  std::span<std::uint64_t> keys;
  if (sorter.backend == SortBackend::cuda) {
    if (device == nullptr) {
      own = make_device_sorter(size);
      device = own.get();
    }
    keys = device->keys();
    if (keys.size() < size) throw std::invalid_argument("rank: a device sorter for as many scores expected");
  } else {
    host_keys.resize(size);
    keys = host_keys;
  }

  // What is not eligible sorts last and is cut off.
  std::size_t ranked = 0;
  for (std::size_t i = 0; i < size; ++i) {
    keys[i] = last_key;
    if (!eligible.empty() && eligible[i] == 0) continue;
    if (std::isnan(scores[i]))
      throw RunError("score of sample at position " + std::to_string(i) + ": found NaN, expected a number");
    keys[i] = key_of(scores[i], order);
    ++ranked;
  }
  if (sorter.backend == SortBackend::cuda) {
    const auto sorted = device->sort(size).first(ranked);
    return {sorted.begin(), sorted.end()};
  }
  std::vector<std::uint32_t> positions(size);
  if (sorter.backend == SortBackend::serial) {
    detail::sort_keys_serial(keys.data(), positions.data(), size);
  } else {
    detail::sort_keys_tbb(keys.data(), positions.data(), size);
  }
  positions.resize(ranked);
  return positions;
}

}  // namespace flowdarts
