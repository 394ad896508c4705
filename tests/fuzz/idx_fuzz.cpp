#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/idx.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const std::size_t dimensions : {std::size_t{1}, std::size_t{3}}) {
    for (const bool allow_truncated : {false, true}) {
      try {
        const flowdarts::IdxArray array = flowdarts::parse_idx({data, size}, "file", dimensions, allow_truncated);
        std::size_t expected = 1;
        for (const std::uint32_t length : array.sizes) expected *= length;
        if (array.sizes.size() != dimensions || array.values.size() + array.missing != expected) std::abort();
        if (array.missing > 0 && !allow_truncated) std::abort();
      } catch (const flowdarts::InputError&) {
      }
    }
  }
  return 0;
}
