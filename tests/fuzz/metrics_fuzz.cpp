// Any text is either rows of metrics or refused with InputError.

#include <cstddef>
#include <cstdint>
#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <nlohmann/json.hpp>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    for (const auto& row : flowdarts::parse_metrics({reinterpret_cast<const char*>(data), size}, "fuzz"))
      (void)row.at("epoch").get<std::int64_t>();
  } catch (const flowdarts::InputError&) {
  }
  return 0;
}
