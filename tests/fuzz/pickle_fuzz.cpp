#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/pickle.hpp>

namespace {

// Touches every byte that arrays claim to have.
std::size_t walk(const flowdarts::pickle::Value& value, int depth) {
  std::size_t sum = 0;
  if (depth > 20) return sum;  // what refers to itself
  if (const auto* array = value.array()) {
    for (const std::uint8_t byte : array->bytes) sum += byte;
  }
  if (const auto* list = value.list()) {
    for (std::size_t i = 0; i < list->size() && i < 3; ++i) sum += walk((*list)[i], depth + 1);
  }
  if (const auto* dict = value.dict()) {
    for (std::size_t i = 0; i < dict->items.size() && i < 3; ++i) sum += walk(dict->items[i].second, depth + 1);
  }
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    if (walk(flowdarts::pickle::parse({data, size}, "file"), 0) == 1) return 0;
  } catch (const flowdarts::InputError&) {
  }
  return 0;
}
