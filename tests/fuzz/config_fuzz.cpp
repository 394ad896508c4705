// Any text is either a configuration or refused with InputError, in one line; and what was accepted can be recorded and
// read again.

#include <cstdint>
#include <cstdlib>
#include <flowdarts/policies/options/option_table.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string>
#include <string_view>

namespace {

struct Sample {
  BOOST_HANA_DEFINE_STRUCT(Sample,
                           (flowdarts::Option<std::int64_t, "a whole number", 50, flowdarts::AtLeast{1}>, epochs),
                           (flowdarts::Option<double, "a part", 0.15, flowdarts::HalfOpen{0.0, 1.0}>, ratio),
                           (flowdarts::Option<bool, "a switch", true>, balance),
                           (flowdarts::TextOption<"a text">, out));
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Sample sample;
  flowdarts::OptionTable table;
  table.add("run", "", sample);
  try {
    table.parse_toml({reinterpret_cast<const char*>(data), size}, "fuzz", "darts", "nas-bench-201");
  } catch (const flowdarts::InputError& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
    return 0;
  }
  const std::string recorded = table.to_toml("darts", "nas-bench-201");
  table.parse_toml(recorded, "recorded", "darts", "nas-bench-201");
  if (table.to_toml("darts", "nas-bench-201") != recorded) std::abort();
  return 0;
}
