// from_json() gives a genotype that survives to_json(), or throws InputError.

#include <cstdint>
#include <cstdlib>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto genotype = flowdarts::nas_bench_201::from_json({reinterpret_cast<const char*>(data), size});
    if (flowdarts::nas_bench_201::from_json(to_json(genotype)) != genotype) std::abort();
  } catch (const flowdarts::InputError&) {
  }
  return 0;
}
