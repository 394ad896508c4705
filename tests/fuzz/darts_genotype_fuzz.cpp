// parse_genotype() of the DARTS space gives a genotype that survives to_string(), is drawn and counted, or throws
// InputError.

#include <cstdint>
#include <cstdlib>
#include <flowdarts/spaces/darts/count.hpp>
#include <flowdarts/spaces/darts/draw.hpp>
#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace flowdarts::darts;
  try {
    const Genotype genotype = parse_genotype({reinterpret_cast<const char*>(data), size});
    if (parse_genotype(to_string(genotype)) != genotype) std::abort();
    if (from_json(to_json(genotype)) != genotype) std::abort();
    if (draw(genotype).empty() || to_dot(genotype).empty()) std::abort();
    if (count_network(genotype).params <= 0) std::abort();
  } catch (const flowdarts::InputError&) {
  }
  return 0;
}
