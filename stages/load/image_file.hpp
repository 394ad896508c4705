#pragma once
// Decodes the bytes of one JPEG or PNG file, told apart by content, whatever the file is called.

#include <cstdint>
#include <flowdarts/stages/load/image.hpp>
#include <span>
#include <string>

namespace flowdarts {

/// Larger images are refused: the largest in ImageNet has 61 million pixels.
inline constexpr int max_image_side = 16384;
inline constexpr std::int64_t max_image_pixels = std::int64_t{1} << 26U;
/// Larger image files are refused before they are read.
inline constexpr std::uint64_t max_image_file_bytes = std::uint64_t{1} << 28U;

/// Decodes the region that `choose` asks for. Greyscale is repeated to RGB, CMYK and YCCK converted, 16-bit samples
/// scaled to 8, palettes expanded, alpha dropped. `name` is the file's name for messages.
/// Throws InputError when the data are damaged, truncated, too large, or neither JPEG nor PNG.
void decode_image(std::span<const std::uint8_t> bytes, const std::string& name, const ChooseRegion& choose, Image& out);

/// The two formats; called by decode_image. PNG always decodes the whole image at full resolution.
void decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name, const ChooseRegion& choose, Image& out);
void decode_png(std::span<const std::uint8_t> bytes, const std::string& name, const ChooseRegion& choose, Image& out);

/// Throws InputError if an image of this size is over the limits above or empty.
void check_image_size(std::uint64_t width, std::uint64_t height, const std::string& name);

}  // namespace flowdarts
