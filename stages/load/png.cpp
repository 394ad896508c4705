// libpng. Its errors arrive by longjmp; see jpeg.cpp for how that is kept away from destructors.

#include <png.h>

#include <csetjmp>
#include <cstring>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/image_file.hpp>

namespace flowdarts {
namespace {

class PngDecoder {
 public:
  explicit PngDecoder(std::span<const std::uint8_t> bytes)
      : rest_(bytes), png_(png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning)) {
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw RunError("libpng: out of memory");
    }
  }
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  bool read_header() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, on_read);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // check_image_size says which are refused
    png_read_info(png_, info_);
    return true;
  }

  bool start() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_scale_16(png_);
    png_set_palette_to_rgb(png_);
    if (png_get_color_type(png_, info_) == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png_, info_) < 8) {
      png_set_expand_gray_1_2_4_to_8(png_);
    }
    png_set_gray_to_rgb(png_);
    png_set_strip_alpha(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return png_get_rowbytes(png_, info_) == std::size_t{3} * width() || fail("unexpected row layout");
  }

  bool read(Image& out) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    for (int pass = 0; pass < passes_; ++pass) {
      for (int y = 0; y < out.height; ++y) {
        png_read_row(png_, out.pixels.data() + std::ptrdiff_t{y} * out.width * 3, nullptr);
      }
    }
    png_read_end(png_, nullptr);
    return true;
  }

  [[nodiscard]] png_uint_32 width() const { return png_get_image_width(png_, info_); }
  [[nodiscard]] png_uint_32 height() const { return png_get_image_height(png_, info_); }
  [[nodiscard]] const char* message() const { return message_; }

 private:
  bool fail(const char* message) {
    std::strncpy(message_, message, sizeof message_ - 1);
    return false;
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    static_cast<PngDecoder*>(png_get_error_ptr(png))->fail(message);
    png_longjmp(png, 1);
  }

  // libpng warns about metadata it does not like; whatever makes pixels uncertain is an error.
  static void on_warning(png_structp, png_const_charp) {}

  static void on_read(png_structp png, png_bytep target, std::size_t count) {
    auto& rest = static_cast<PngDecoder*>(png_get_io_ptr(png))->rest_;
    if (count > rest.size()) png_error(png, "the file is truncated");
    std::memcpy(target, rest.data(), count);
    rest = rest.subspan(count);
  }

  std::span<const std::uint8_t> rest_;
  char message_[128] = {};
  int passes_ = 1;
  png_structp png_;
  png_infop info_ = nullptr;
};

}  // namespace

void decode_png(std::span<const std::uint8_t> bytes, const std::string& name, const ChooseRegion& choose, Image& out) {
  PngDecoder png(bytes);
  const auto require = [&](bool good) {
    if (!good) throw InputError(name + ": corrupt PNG: " + png.message());
  };
  require(png.read_header());
  check_image_size(png.width(), png.height(), name);
  require(png.start());
  out = {static_cast<int>(png.width()), static_cast<int>(png.height()), 0, 0, 1, std::move(out.pixels)};
  choose(out.width, out.height);
  out.pixels.resize(std::size_t{3} * png.width() * png.height());
  require(png.read(out));
}

}  // namespace flowdarts
