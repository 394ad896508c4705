#pragma once
// Files and images that the tests of the load stage make themselves.

#include <png.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace flowdarts::testing {

using Bytes = std::vector<std::uint8_t>;

/// An empty directory that is removed at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Creates the parent directories too.
void write_file(const std::filesystem::path& file, std::span<const std::uint8_t> bytes);

/// A smooth test pattern, `channels` samples a pixel, interleaved. Its shortest wave is about 30 / frequency pixels.
Bytes pattern(int width, int height, int channels, int phase = 0, double frequency = 1.0);

struct JpegSettings {
  int components = 3;  ///< 1 grey, 3 RGB, 4 CMYK
  bool ycck = false;
  int quality = 95;
  int chroma_subsampling = 1;  ///< horizontal and vertical
  bool progressive = false;
};
Bytes encode_jpeg(const Bytes& pixels, int width, int height, const JpegSettings& settings = {});

struct PngSettings {
  int color_type = PNG_COLOR_TYPE_RGB;
  int bit_depth = 8;
  bool interlaced = false;
  std::vector<png_color> palette = {};
};
/// `rows` holds the raw bytes of all rows, as PNG stores them.
Bytes encode_png(const Bytes& rows, int width, int height, const PngSettings& settings = {});

Bytes gzip(std::span<const std::uint8_t> bytes);

/// The message of the InputError that `action` throws; fails the test if it throws none or one of several lines.
std::string input_error(const std::function<void()>& action);

/// The folder of shared test data, or an empty path when there is none.
std::filesystem::path shared_data();

}  // namespace flowdarts::testing
