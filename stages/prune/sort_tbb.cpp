#include <thrust/sort.h>
#include <thrust/system/tbb/execution_policy.h>

#include <flowdarts/stages/prune/sort_keys.hpp>

namespace flowdarts::detail {

void sort_keys_tbb(std::uint64_t* keys, std::uint32_t* positions, std::size_t size) {
  thrust::stable_sort_by_key(thrust::tbb::par, keys, keys + size, positions);
}

}  // namespace flowdarts::detail
