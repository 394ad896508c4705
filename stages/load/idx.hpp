#pragma once
// IDX (http://yann.lecun.com/exdb/mnist, "file formats"): big-endian magic 0x0000TTDD (type, number of dimensions), one
// 32-bit size a dimension, then the data. MNIST and Fashion-MNIST: unsigned bytes, images [n, 28, 28], labels [n].

#include <flowdarts/stages/load/dataset.hpp>
#include <memory>

namespace flowdarts {

/// The content of an IDX file of unsigned bytes.
struct IdxArray {
  std::vector<std::uint32_t> sizes;
  std::vector<std::uint8_t> values;  ///< first size fastest last (row-major), without what a truncated file cuts off
  std::size_t missing = 0;           ///< bytes that the sizes promise and the file does not hold
};

/// Parses an IDX file, uncompressed or gzip (told apart by content), with `dimensions` dimensions. Throws InputError
/// naming the file, what was found and expected for a bad magic, broken gzip data, more than 1 GiB, or bytes too many;
/// bytes too few are an error unless `allow_truncated`.
[[nodiscard]] IdxArray parse_idx(std::span<const std::uint8_t> bytes, const std::string& name, std::size_t dimensions,
                                 bool allow_truncated);

/// MNIST or Fashion-MNIST (by config.kind): a directory with train-images-idx3-ubyte and train-labels-idx1-ubyte, each
/// also with .gz (test part: t10k-...). Greyscale is repeated to RGB; 28 x 28 is padded with black to 32 x 32.
[[nodiscard]] std::shared_ptr<const Dataset> open_idx(const DatasetConfig& config);

}  // namespace flowdarts
