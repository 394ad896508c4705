#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/image_file.hpp>

namespace {

constexpr std::int64_t pixels_to_decode = 1 << 18;  // larger images cost time and reach no other code

void decode(std::span<const std::uint8_t> bytes, bool whole) {
  flowdarts::Region region;
  flowdarts::Image image;
  const auto choose = [&](int width, int height) {
    if (std::int64_t{width} * height > pixels_to_decode) throw flowdarts::InputError("larger than this test decodes");
    region = flowdarts::whole_image(width, height);
    if (!whole) {
      // Any region will do that differs between inputs.
      const auto pick = [&](int bound) {
        return static_cast<int>(bytes.back() * bytes.size() % static_cast<unsigned>(bound));
      };
      region.left = pick(width);
      region.top = pick(height);
      region.width = 1 + pick(width - region.left);
      region.height = 1 + pick(height - region.top);
      region.shrink = 1 << (bytes.size() % 4);
    }
    return region;
  };
  try {
    flowdarts::decode_image(bytes, "file", choose, image);
  } catch (const flowdarts::InputError&) {
    return;
  }
  const int shrink = image.shrink;
  if (image.pixels.size() !=
          std::size_t{3} * static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) ||
      image.left > region.left / shrink || image.top > region.top / shrink ||
      image.left + image.width < (region.left + region.width + shrink - 1) / shrink ||
      image.top + image.height < (region.top + region.height + shrink - 1) / shrink) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  decode({data, size}, true);
  decode({data, size}, false);
  return 0;
}
