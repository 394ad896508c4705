// parse_genotype() accepts exactly what to_string() writes, and throws nothing but InputError.

#include <cstdint>
#include <cstdlib>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    if (to_string(flowdarts::nas_bench_201::parse_genotype(text)) != text) std::abort();
  } catch (const flowdarts::InputError&) {
  }
  return 0;
}
