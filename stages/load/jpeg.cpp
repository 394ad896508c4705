// libjpeg-turbo. Its errors arrive by longjmp: each function below that calls the library and sets the jump has no
// local with a destructor, and everything that owns memory lives in the caller.

// jpeglib.h needs the first two, jerror.h needs jpeglib.h.
// clang-format off
#include <cstddef>
#include <cstdio>
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <algorithm>
#include <array>
#include <csetjmp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/image_file.hpp>

namespace flowdarts {
namespace {

// A few hundred bytes can ask for thousands of passes over a large progressive image; libjpeg-turbo's own fuzzers draw
// the line at the same number.
constexpr int max_scans = 500;

// Chroma upsampling looks one chroma sample to the side, which a cropped decode does not have at its edges.
constexpr int crop_margin = 2;

struct JpegErrors {
  jpeg_error_mgr base{};
  std::jmp_buf jump{};
  std::array<char, JMSG_LENGTH_MAX> message{};
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  errors->base.format_message(info, errors->message.data());
  std::longjmp(errors->jump, 1);
}

// Warnings about pixel data mean that pixels are made up. Those about metadata do not touch them.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  if (code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR && code != JWRN_BOGUS_ICC) leave(info);
}

void on_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > max_scans) {
    info->err->msg_code = JERR_BAD_PROGRESSION;
    leave(info);
  }
}

class JpegDecoder {
 public:
  JpegDecoder() {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = leave;
    errors_.base.emit_message = on_message;
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  bool read_header(std::span<const std::uint8_t> bytes) {
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_create_decompress(&info_);
    progress_.progress_monitor = on_progress;
    info_.progress = &progress_;
    jpeg_mem_src(&info_, bytes.data(), static_cast<unsigned long>(bytes.size()));
    jpeg_read_header(&info_, TRUE);
    return true;
  }

  // Whether an end-of-image marker follows. Inside compressed data 0xFF is always followed by 0 or a restart marker, so
  // an undamaged file has it where the search starts: at its end.
  [[nodiscard]] bool has_end() const {
    constexpr std::array<std::uint8_t, 2> end_of_image{0xFF, 0xD9};
    const std::span rest(info_.src->next_input_byte, info_.src->bytes_in_buffer);
    return std::find_end(rest.begin(), rest.end(), end_of_image.begin(), end_of_image.end()) != rest.end();
  }

  bool start(const Region& region, Image& out) {
    if (setjmp(errors_.jump) != 0) return false;
    const bool cmyk = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
    info_.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    info_.scale_num = 1;
    info_.scale_denom = static_cast<unsigned>(region.shrink);
    jpeg_start_decompress(&info_);

    const auto scaled_end = [&](int end) { return (end + region.shrink - 1) / region.shrink; };
    const int width = static_cast<int>(info_.output_width), height = static_cast<int>(info_.output_height);
    const int left = std::max(0, region.left / region.shrink - crop_margin);
    const int right = std::min(width, scaled_end(region.left + region.width) + crop_margin);
    out.top = region.top / region.shrink;
    out.height = std::min(height, scaled_end(region.top + region.height)) - out.top;
    auto offset = static_cast<JDIMENSION>(left);
    auto columns = static_cast<JDIMENSION>(right - left);
    if (right - left < width) jpeg_crop_scanline(&info_, &offset, &columns);
    out.left = static_cast<int>(offset);
    out.width = static_cast<int>(columns);
    out.shrink = region.shrink;
    return true;
  }

  // `cmyk_row` holds one row of four samples a pixel, unused for other colour spaces.
  bool read(Image& out, std::span<std::uint8_t> cmyk_row) {
    if (setjmp(errors_.jump) != 0) return false;
    if (out.top > 0) jpeg_skip_scanlines(&info_, static_cast<JDIMENSION>(out.top));
    for (int y = 0; y < out.height; ++y) {
      std::uint8_t* row = out.pixels.data() + std::ptrdiff_t{y} * out.width * 3;
      JSAMPROW target = cmyk() ? cmyk_row.data() : row;
      jpeg_read_scanlines(&info_, &target, 1);
      if (cmyk()) to_rgb(cmyk_row.data(), out.width, row);
    }
    // Reads on to the end of the image only when its last row was asked for; the rows below a region are not decoded.
    if (info_.output_scanline == info_.output_height) jpeg_finish_decompress(&info_);
    return true;
  }

  [[nodiscard]] bool cmyk() const { return info_.out_color_space == JCS_CMYK; }
  [[nodiscard]] int width() const { return static_cast<int>(info_.image_width); }
  [[nodiscard]] int height() const { return static_cast<int>(info_.image_height); }
  [[nodiscard]] const char* message() const { return errors_.message.data(); }

 private:
  // CMYK JPEGs store inverted inks (Adobe's convention, which libjpeg's writer and Pillow follow): 255 is no ink.
  static void to_rgb(const std::uint8_t* cmyk, int count, std::uint8_t* rgb) {
    for (int x = 0; x < count; ++x, cmyk += 4, rgb += 3) {
      for (int c = 0; c < 3; ++c) rgb[c] = static_cast<std::uint8_t>((cmyk[c] * cmyk[3] + 127) / 255);
    }
  }

  JpegErrors errors_;
  jpeg_progress_mgr progress_{};
  jpeg_decompress_struct info_{};
};

}  // namespace

void decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name, const ChooseRegion& choose, Image& out) {
  JpegDecoder jpeg;
  const auto require = [&](bool good) {
    if (!good) throw InputError(name + ": corrupt JPEG: " + jpeg.message());
  };
  require(jpeg.read_header(bytes));
  check_image_size(static_cast<std::uint64_t>(jpeg.width()), static_cast<std::uint64_t>(jpeg.height()), name);
  if (!jpeg.has_end()) throw InputError(name + ": corrupt JPEG: no end-of-image marker, the file is truncated");
  require(jpeg.start(choose(jpeg.width(), jpeg.height()), out));
  out.pixels.resize(std::size_t{3} * static_cast<std::size_t>(out.width) * static_cast<std::size_t>(out.height));
  std::vector<std::uint8_t> cmyk_row(jpeg.cmyk() ? std::size_t{4} * static_cast<std::size_t>(out.width) : 0);
  require(jpeg.read(out, cmyk_row));
}

}  // namespace flowdarts
