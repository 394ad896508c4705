#include <algorithm>
#include <charconv>
#include <flowdarts/spaces/mobilenet/chain.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <vector>

namespace flowdarts::mobilenet {
namespace {

constexpr std::size_t width_count = stage_count + 2;

}  // namespace

Widths parse_widths(std::string_view text) {
  std::vector<int> values;
  const auto refuse = [&](std::string_view found) {
    throw InputError("widths, number " + std::to_string(values.size() + 1) + " of 9: found " + quote(found) +
                     ", expected a width from 1 to 4096 (stem, stages 0 to 6 and head, joined by commas)");
  };
  std::string_view rest = text;
  while (values.size() < width_count) {
    const std::size_t comma = rest.find(',');
    const bool last = values.size() + 1 == width_count;
    const std::string_view field = last ? rest : rest.substr(0, comma);
    int value = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size() || value < 1 || value > 4096) refuse(field);
    values.push_back(value);
    if (last) break;
    if (comma == std::string_view::npos) refuse("");
    rest.remove_prefix(comma + 1);
  }
  Widths widths{.stem = values.front(), .head = values.back()};
  std::copy_n(values.begin() + 1, widths.stages.size(), widths.stages.begin());
  return widths;
}

std::string to_string(const Widths& widths) {
  std::string text = std::to_string(widths.stem);
  for (const int width : widths.stages) text += "," + std::to_string(width);
  return text + "," + std::to_string(widths.head);
}

}  // namespace flowdarts::mobilenet
