#pragma once
// What a data set is to the search, and the one function that opens each kind.

#include <cstdint>
#include <filesystem>
#include <flowdarts/stages/load/image.hpp>
#include <flowdarts/stages/load/normalisation.hpp>
#include <flowdarts/stages/load/split.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace flowdarts {

/// The side of the square images that a data set feeds to a network. `fixed`: every image has exactly this size and is
/// augmented by padding and cropping; otherwise sizes vary and images are resized to it.
struct ImageGeometry {
  int size = 0;
  bool fixed = true;
};

/// Labelled images, numbered 0 .. size() - 1. Immutable and safe to read from any number of threads.
class Dataset {
 public:
  virtual ~Dataset() = default;
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;

  /// The kind it was opened as: "cifar10", "folder", ...
  [[nodiscard]] const std::string& name() const { return facts_.name; }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(facts_.labels.size()); }
  [[nodiscard]] std::int32_t classes() const { return static_cast<std::int32_t>(facts_.class_names.size()); }
  [[nodiscard]] const std::vector<std::string>& class_names() const { return facts_.class_names; }
  /// The class of image i, in [0, classes()).
  [[nodiscard]] std::int32_t label(std::int64_t i) const { return facts_.labels[static_cast<std::size_t>(i)]; }
  [[nodiscard]] std::span<const std::int32_t> labels() const { return facts_.labels; }
  [[nodiscard]] const ImageGeometry& geometry() const { return facts_.geometry; }
  [[nodiscard]] const Normalisation& normalisation() const { return facts_.normalisation; }

  /// Identifies the content: kind, class names, labels, image size and, for sets in memory, the pixels, for folders,
  /// file names, for shards their names, sizes and where each image lies. A run resumed on a data set with another
  /// fingerprint is not the same run.
  [[nodiscard]] std::uint64_t fingerprint() const { return facts_.fingerprint; }

  /// Whether broken samples are to be left out instead of ending the run.
  [[nodiscard]] bool skip_corrupt() const { return facts_.skip_corrupt; }
  /// With skip_corrupt: one line for each thing that was left out when the set was opened.
  [[nodiscard]] const std::vector<std::string>& skipped() const { return facts_.skipped; }

  /// T and V, where the data set was opened with lists that say so.
  [[nodiscard]] const std::optional<SplitLists>& listed_split() const { return facts_.listed_split; }

  /// Where the images lie in files of many: those of file k have the ids shards()[k] .. shards()[k + 1] - 1, in the
  /// order in which they lie there. Empty: each has its own file, or all are in memory.
  [[nodiscard]] std::span<const std::int64_t> shards() const { return facts_.shards; }

  /// Whether there is nothing to read, and decode() only copies from memory and never fails.
  [[nodiscard]] virtual bool in_memory() const { return false; }

  /// The bytes that decode() needs of image i: its file as it is, so this waits for the disk and computes nothing.
  /// Empty where the data set is in memory. Throws InputError naming the file when it cannot be read.
  [[nodiscard]] virtual std::vector<std::uint8_t> read(std::int64_t i) const = 0;

  /// Decodes the region of image i that `choose` asks for into `out`, whose buffer is reused; `bytes` are those of
  /// read(i). Throws InputError naming the file when it is damaged. Damage outside the region goes unnoticed, except
  /// that a truncated file is always found.
  virtual void decode(std::int64_t i, std::span<const std::uint8_t> bytes, const ChooseRegion& choose,
                      Image& out) const = 0;

  /// Reads image i and decodes all of it. Throws what these two throw.
  void decode(std::int64_t i, Image& out) const { decode(i, read(i), whole_image, out); }

 protected:
  struct Facts {
    std::string name;
    std::vector<std::string> class_names;
    std::vector<std::int32_t> labels;
    ImageGeometry geometry;
    Normalisation normalisation{};
    std::uint64_t fingerprint = 0;
    bool skip_corrupt = false;
    std::vector<std::string> skipped;
    std::optional<SplitLists> listed_split;
    std::vector<std::int64_t> shards;
  };
  explicit Dataset(Facts facts) : facts_(std::move(facts)) {}

 private:
  Facts facts_;
};

/// Which files of a data set that comes in two parts.
enum class Part : std::uint8_t { train, test };

struct DatasetConfig {
  std::string kind = {};  ///< fashion-mnist, mnist, cifar10, cifar100, imagenet16-120, folder or shards
  /// Of shards: a folder of *.tar, one of them, or a pattern such as DIR/train-{000000..000146}.tar.
  std::filesystem::path path = {};  ///< empty: Debian's copy for fashion-mnist, an error for the others
  Part part = Part::train;          ///< a folder has one part only, `train`: its path says which images
  /// Leave out what is broken and count it: records cut off by a truncated file, labels out of range, images that do
  /// not decode, class folders without images, entries that cannot be read. Files that are damaged as a whole (missing,
  /// bad magic, broken gzip) are refused all the same.
  bool skip_corrupt = false;
  /// Side of the images that reach the network. 0: 32 for CIFAR and MNIST, 16 for ImageNet16-120; for folders and
  /// shards the size of the first image if that is square and at most 64, else 224.
  int image_size = 0;
  std::filesystem::path lists = {};  ///< of a folder: where the lists of its images are (image_lists.hpp), or empty
};

/// Opens a data set. Throws InputError naming the file and the reason.
[[nodiscard]] std::shared_ptr<const Dataset> open_dataset(const DatasetConfig& config);

}  // namespace flowdarts
