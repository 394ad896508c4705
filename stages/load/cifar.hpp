#pragma once
// CIFAR-10 and CIFAR-100, binary version (https://www.cs.toronto.edu/~kriz/cifar.html): records of one label byte
// (CIFAR-10) or a coarse and a fine label byte (CIFAR-100, the fine one counts), then 1024 red, 1024 green and 1024
// blue bytes, row by row.

#include <flowdarts/stages/load/dataset.hpp>
#include <memory>

namespace flowdarts {

struct CifarFormat {
  int label_bytes;  ///< the last of them is the label
  int classes;
};
inline constexpr CifarFormat cifar10_format{1, 10};
inline constexpr CifarFormat cifar100_format{2, 100};

/// The records of one file or of several, in order.
struct CifarRecords {
  std::vector<std::int32_t> labels;
  std::vector<std::uint8_t> pixels;  ///< 3072 a record, as HWC
  std::vector<std::string> skipped;  ///< one line for each record that was left out
};

/// Appends a file's records. Throws InputError naming the file, the record and what was expected if the size is not a
/// positive multiple of the record's or a label is out of range; with skip_corrupt such records are left out.
void parse_cifar(std::span<const std::uint8_t> bytes, const std::string& name, const CifarFormat& format,
                 bool skip_corrupt, CifarRecords& records);

/// A directory with data_batch_1.bin .. data_batch_5.bin, all of one size (test part: test_batch.bin).
/// Image i of the train part is the canonical index: 10,000 (batch - 1) + position in the published files.
[[nodiscard]] std::shared_ptr<const Dataset> open_cifar10(const DatasetConfig& config);

/// A directory with train.bin (test part: test.bin).
[[nodiscard]] std::shared_ptr<const Dataset> open_cifar100(const DatasetConfig& config);

}  // namespace flowdarts
