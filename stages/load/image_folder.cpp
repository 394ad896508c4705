#include <algorithm>
#include <cctype>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/load/image_file.hpp>
#include <flowdarts/stages/load/image_folder.hpp>
#include <flowdarts/stages/load/image_lists.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <optional>

namespace flowdarts {
namespace {

namespace fs = std::filesystem;

constexpr Normalisation imagenet_normalisation{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}};
constexpr int max_fixed_side = 64;
constexpr int default_size = 224;

bool is_image_name(const fs::path& file) {
  std::string extension = file.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

using ImageEntry = FolderListing::Entry;

class FolderReader {
 public:
  FolderReader(const fs::path& root, bool skip_corrupt) : root_(root), skip_corrupt_(skip_corrupt) {}

  FolderListing read() {
    for (const fs::directory_entry& entry : sorted_entries(root_)) {
      const std::optional<fs::file_type> type = type_of(entry);
      if (type == fs::file_type::directory) {
        read_class(entry.path());
      } else if (type && is_image_name(entry.path())) {
        broken(entry.path(), "is an image outside a class folder, expected one folder for each class");
      }
    }
    if (listing_.class_names.empty()) {
      throw InputError(printable(root_) + ": no class folder with images in it, expected one folder for each class");
    }
    return std::move(listing_);
  }

 private:
  void read_class(const fs::path& folder) {
    const auto label = static_cast<std::int32_t>(listing_.class_names.size());
    const std::size_t before = listing_.images.size();
    for (const fs::directory_entry& entry : sorted_entries(folder)) {
      if (!is_image_name(entry.path())) continue;
      const std::optional<fs::file_type> type = type_of(entry);
      if (!type) continue;
      std::error_code error;
      const std::uintmax_t bytes = type == fs::file_type::regular ? entry.file_size(error) : 0;
      if (type != fs::file_type::regular || error) {
        broken(entry.path(), error ? error.message() : "is not a regular file");
        continue;
      }
      listing_.images.push_back({(folder.filename() / entry.path().filename()).string(), bytes});
      listing_.labels.push_back(label);
    }
    if (listing_.images.size() == before) {
      broken(folder, "class folder without JPEG or PNG files directly in it");
    } else {
      listing_.class_names.push_back(folder.filename().string());
    }
  }

  std::vector<fs::directory_entry> sorted_entries(const fs::path& folder) {
    std::vector<fs::directory_entry> entries;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      if (!it->path().filename().string().starts_with('.')) entries.push_back(*it);
    }
    if (error) broken(folder, "cannot be read: " + error.message());
    std::ranges::sort(entries, {}, [](const fs::directory_entry& e) { return e.path().native(); });
    return entries;
  }

  std::optional<fs::file_type> type_of(const fs::directory_entry& entry) {
    std::error_code error;
    const fs::file_type type = entry.status(error).type();
    if (type != fs::file_type::not_found && type != fs::file_type::none) return type;
    broken(entry.path(), "cannot be read: " + (error ? error.message() : "a symbolic link that leads nowhere"));
    return std::nullopt;
  }

  void broken(const fs::path& what, const std::string& reason) {
    std::string line = printable(what) + ": " + reason;
    if (!skip_corrupt_) throw InputError(line);
    listing_.skipped.push_back(std::move(line));
  }

  fs::path root_;
  bool skip_corrupt_;
  FolderListing listing_;
};

class ImageFolder final : public Dataset {
 public:
  using Dataset::decode;
  using Dataset::Facts;

  ImageFolder(Facts facts, fs::path root, std::vector<ImageEntry> images)
      : Dataset(std::move(facts)), root_(std::move(root)), images_(std::move(images)) {}

  [[nodiscard]] std::vector<std::uint8_t> read(std::int64_t i) const override {
    return read_file(file_of(i), max_image_file_bytes);
  }

  void decode(std::int64_t i, std::span<const std::uint8_t> bytes, const ChooseRegion& choose,
              Image& out) const override {
    const std::string name = printable(file_of(i));
    const auto checked = [&](int width, int height) {
      const int size = geometry().size;
      if (geometry().fixed && (width != size || height != size)) {
        throw InputError(name + ": image of " + std::to_string(width) + " x " + std::to_string(height) +
                         " pixels, expected " + std::to_string(size) + " x " + std::to_string(size) +
                         " as the first image has");
      }
      return choose(width, height);
    };
    decode_image(bytes, name, checked, out);
  }

 private:
  [[nodiscard]] fs::path file_of(std::int64_t i) const { return root_ / images_[static_cast<std::size_t>(i)].path; }

  fs::path root_;
  std::vector<ImageEntry> images_;
};

/// The images that lists name, T's first.
class ListedImages {
 public:
  ListedImages(const fs::path& root, const ImageLists& lists, bool skip_corrupt)
      : root_(root), skip_corrupt_(skip_corrupt) {
    listing_.class_names = lists.classes;
    split_.train = add(lists.train);
    split_.val = add(lists.val);
    if (split_.train.empty() || split_.val.empty()) {
      throw InputError(printable(root) + ": none of the images of " +
                       std::string(split_.train.empty() ? train_list : val_list) + " is there");
    }
  }

  FolderListing& listing() { return listing_; }
  SplitLists& split() { return split_; }

 private:
  std::vector<std::int64_t> add(const std::vector<ImageLists::Image>& images) {
    std::vector<std::int64_t> ids;
    for (const ImageLists::Image& image : images) {
      const fs::path file = root_ / image.path;
      std::error_code error;
      const bool regular = fs::is_regular_file(file, error);
      const std::uintmax_t bytes = regular ? fs::file_size(file, error) : 0;
      if (!regular || error) {
        std::string line = printable(file) + ": is listed, but " +
                           (error ? "cannot be read: " + error.message() : std::string("is not a regular file"));
        if (!skip_corrupt_) throw InputError(line);
        listing_.skipped.push_back(std::move(line));
        continue;
      }
      ids.push_back(static_cast<std::int64_t>(listing_.images.size()));
      listing_.images.push_back({image.path, bytes});
      listing_.labels.push_back(image.label);
    }
    return ids;
  }

  fs::path root_;
  bool skip_corrupt_;
  FolderListing listing_;
  SplitLists split_;
};

// The first image that can be decoded says which of the two kinds of folder this is.
ImageGeometry find_geometry(const FolderListing& listing, const DatasetConfig& config) {
  for (const ImageEntry& image : listing.images) {
    const fs::path file = config.path / image.path;
    try {
      Image first;
      decode_image(read_file(file, max_image_file_bytes), printable(file), whole_image, first);
      if (first.width == first.height && first.width <= max_fixed_side &&
          (config.image_size == 0 || config.image_size == first.width)) {
        return {first.width, true};
      }
      return {config.image_size == 0 ? default_size : config.image_size, false};
    } catch (const InputError&) {
      if (!config.skip_corrupt) throw;  // else met, counted and reported again when it is loaded
    }
  }
  throw InputError(printable(config.path) + ": none of the " + std::to_string(listing.images.size()) +
                   " images can be decoded");
}

}  // namespace

FolderListing list_image_folder(const fs::path& root, bool skip_corrupt) {
  std::error_code ignored;
  if (!fs::is_directory(root, ignored)) {
    throw InputError(printable(root) + ": is not a folder, expected a folder of class folders");
  }
  return FolderReader(root, skip_corrupt).read();
}

std::shared_ptr<const Dataset> open_image_folder(const DatasetConfig& config) {
  if (config.part != Part::train) {
    throw InputError(printable(config.path) + ": a folder has no test part, expected the path of the test images");
  }
  FolderListing listing;
  std::optional<SplitLists> split;
  if (config.lists.empty()) {
    listing = list_image_folder(config.path, config.skip_corrupt);
  } else {
    ListedImages listed(config.path, read_image_lists(config.lists), config.skip_corrupt);
    listing = std::move(listed.listing());
    split = std::move(listed.split());
  }
  const ImageGeometry geometry = find_geometry(listing, config);

  Fingerprint fingerprint;
  fingerprint.add(config.kind);
  fingerprint.add(static_cast<std::uint64_t>(geometry.size));
  for (const std::string& name : listing.class_names) fingerprint.add(name);
  for (std::size_t i = 0; i < listing.images.size(); ++i) {
    fingerprint.add(listing.images[i].path);
    fingerprint.add(listing.images[i].bytes);
    fingerprint.add(static_cast<std::uint64_t>(listing.labels[i]));
  }
  if (split) fingerprint.add(static_cast<std::uint64_t>(split->train.size()));
  return std::make_shared<ImageFolder>(
      ImageFolder::Facts{config.kind, std::move(listing.class_names), std::move(listing.labels), geometry,
                         imagenet_normalisation, fingerprint.value(), config.skip_corrupt, std::move(listing.skipped),
                         std::move(split)},
      config.path, std::move(listing.images));
}

}  // namespace flowdarts
