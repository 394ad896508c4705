// The MobileNet-like space's parse_genotype() accepts exactly what to_string() writes, its from_json() gives a genotype
// that survives to_json(), and parse_widths() accepts what names the same widths; they throw nothing but InputError.

#include <cstdint>
#include <cstdlib>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace flowdarts;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    if (to_string(mobilenet::parse_genotype(text)) != text) std::abort();
  } catch (const InputError&) {
  }
  try {
    const auto genotype = mobilenet::from_json(text);
    if (mobilenet::from_json(to_json(genotype)) != genotype) std::abort();
  } catch (const InputError&) {
  }
  try {
    const auto widths = mobilenet::parse_widths(text);
    if (mobilenet::parse_widths(to_string(widths)) != widths) std::abort();
  } catch (const InputError&) {
  }
  return 0;
}
