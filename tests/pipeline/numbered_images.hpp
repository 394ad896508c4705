#pragma once

#include <filesystem>
#include <fstream>
#include <string>

namespace flowdarts::testing {

/// A CIFAR-10 directory of images of one colour each: red is the image's id, so that crops and flips leave it readable.
/// Image i is of class i mod 10. At most 256 images, a multiple of 5.
inline void write_numbered_images(const std::filesystem::path& folder, int images) {
  std::filesystem::create_directories(folder);
  int id = 0;
  for (int batch = 1; batch <= 5; ++batch) {
    std::ofstream file(folder / ("data_batch_" + std::to_string(batch) + ".bin"), std::ios::binary);
    for (int i = 0; i < images / 5; ++i, ++id) {
      std::string record(1, static_cast<char>(id % 10));
      record += std::string(1024, static_cast<char>(id));
      record += std::string(1024, static_cast<char>((id * 37 + 11) % 256));
      record += std::string(1024, static_cast<char>((id % 10) * 25));
      file << record;
    }
  }
}

}  // namespace flowdarts::testing
