#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/encoded_images.hpp>
#include <flowdarts/stages/load/image_file.hpp>
#include <flowdarts/stages/load/read_file.hpp>

namespace flowdarts {
namespace {

constexpr int max_fixed_side = 64;
constexpr int default_size = 224;

}  // namespace

void decode_image_of(const ImageGeometry& geometry, std::span<const std::uint8_t> bytes, const std::string& name,
                     const ChooseRegion& choose, Image& out) {
  const auto checked = [&](int width, int height) {
    const int size = geometry.size;
    if (geometry.fixed && (width != size || height != size)) {
      throw InputError(name + ": image of " + std::to_string(width) + " x " + std::to_string(height) +
                       " pixels, expected " + std::to_string(size) + " x " + std::to_string(size) +
                       " as the first image has");
    }
    return choose(width, height);
  };
  decode_image(bytes, name, checked, out);
}

ImageGeometry find_geometry(std::int64_t images, const DatasetConfig& config,
                            const std::function<void(std::int64_t i, Image& out)>& decode_whole) {
  for (std::int64_t i = 0; i < images; ++i) {
    try {
      Image first;
      decode_whole(i, first);
      if (first.width == first.height && first.width <= max_fixed_side &&
          (config.image_size == 0 || config.image_size == first.width)) {
        return {first.width, true};
      }
      return {config.image_size == 0 ? default_size : config.image_size, false};
    } catch (const InputError&) {
      if (!config.skip_corrupt) throw;  // else met, counted and reported again when it is loaded
    }
  }
  throw InputError(printable(config.path) + ": none of the " + std::to_string(images) + " images can be decoded");
}

}  // namespace flowdarts
