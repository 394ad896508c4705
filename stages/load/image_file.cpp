#include <algorithm>
#include <array>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/image_file.hpp>

namespace flowdarts {
namespace {

constexpr std::array<std::uint8_t, 3> jpeg_magic{0xFF, 0xD8, 0xFF};
constexpr std::array<std::uint8_t, 8> png_magic{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

bool starts_with(std::span<const std::uint8_t> bytes, std::span<const std::uint8_t> magic) {
  return bytes.size() >= magic.size() && std::ranges::equal(bytes.first(magic.size()), magic);
}

std::string first_bytes(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes.first(std::min<std::size_t>(bytes.size(), 4))) {
    text += {' ', digits[byte >> 4U], digits[byte & 15U]};
  }
  return text;
}

}  // namespace

void check_image_size(std::uint64_t width, std::uint64_t height, const std::string& name) {
  constexpr std::uint64_t side = max_image_side;
  if (width == 0 || height == 0 || width > side || height > side || width * height > max_image_pixels) {
    throw InputError(name + ": image of " + std::to_string(width) + " x " + std::to_string(height) +
                     " pixels, expected sides of 1 to " + std::to_string(side) + " and at most " +
                     std::to_string(max_image_pixels) + " pixels");
  }
}

void decode_image(std::span<const std::uint8_t> bytes, const std::string& name, const ChooseRegion& choose,
                  Image& out) {
  if (starts_with(bytes, jpeg_magic)) return decode_jpeg(bytes, name, choose, out);
  if (starts_with(bytes, png_magic)) return decode_png(bytes, name, choose, out);
  if (bytes.empty()) throw InputError(name + ": empty file, expected a JPEG or PNG image");
  throw InputError(name + ": neither JPEG nor PNG, starts with" + first_bytes(bytes));
}

}  // namespace flowdarts
