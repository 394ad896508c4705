#include <algorithm>
#include <cctype>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/encoded_images.hpp>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/load/image_file.hpp>
#include <flowdarts/stages/load/image_folder.hpp>
#include <flowdarts/stages/load/image_lists.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <numeric>
#include <optional>

namespace flowdarts {
namespace {

namespace fs = std::filesystem;

bool is_image_name(const fs::path& file) {
  std::string extension = file.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

class FolderReader {
 public:
  FolderReader(const fs::path& root, bool skip_corrupt) : root_(root), skip_corrupt_(skip_corrupt) {}

  FolderListing read() {
    const auto any_name = [](const fs::path&) { return true; };
    for (const Entry& entry : sorted_entries(root_, any_name)) {
      const fs::path path = root_ / entry.name;
      const std::optional<fs::file_type> type = type_of(entry, path);
      if (type == fs::file_type::directory) {
        read_class(path);
      } else if (type && is_image_name(path)) {
        broken(path, "is an image outside a class folder, expected one folder for each class");
      }
    }
    if (listing_.class_names.empty()) {
      throw InputError(printable(root_) + ": no class folder with images in it, expected one folder for each class");
    }
    return std::move(listing_);
  }

 private:
  struct Entry {
    std::string name;
    fs::file_type type;  // as the folder says it: unknown for what only the file itself can say
  };

  void read_class(const fs::path& folder) {
    const auto label = static_cast<std::int32_t>(listing_.class_names.size());
    const std::size_t before = listing_.images.size();
    const std::string class_name = folder.filename().string();
    for (const Entry& entry : sorted_entries(folder, is_image_name)) {
      const std::optional<fs::file_type> type = type_of(entry, folder / entry.name);
      if (!type) continue;
      if (type != fs::file_type::regular) {
        broken(folder / entry.name, "is not a regular file");
        continue;
      }
      listing_.images.add(class_name + "/" + entry.name);
      listing_.labels.push_back(label);
    }
    if (listing_.images.size() == before) {
      broken(folder, "class folder without JPEG or PNG files directly in it");
    } else {
      listing_.class_names.push_back(class_name);
    }
  }

  template <class Wanted>
  std::vector<Entry> sorted_entries(const fs::path& folder, const Wanted& wanted) {
    std::vector<Entry> entries;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      std::string name = it->path().filename().string();
      if (name.starts_with('.') || !wanted(it->path())) continue;
      // These two ask the file only where the folder does not know: a million files are not looked at one by one.
      std::error_code unknown;
      const fs::file_type type = it->is_regular_file(unknown) ? fs::file_type::regular
                                 : it->is_directory(unknown)  ? fs::file_type::directory
                                                              : fs::file_type::unknown;
      entries.push_back({std::move(name), type});
    }
    if (error) broken(folder, "cannot be read: " + error.message());
    std::ranges::sort(entries, {}, &Entry::name);
    return entries;
  }

  std::optional<fs::file_type> type_of(const Entry& entry, const fs::path& path) {
    if (entry.type != fs::file_type::unknown) return entry.type;
    std::error_code error;
    const fs::file_type type = fs::status(path, error).type();
    if (type != fs::file_type::not_found && type != fs::file_type::none) return type;
    broken(path, "cannot be read: " + (error ? error.message() : "a symbolic link that leads nowhere"));
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

  ImageFolder(Facts facts, fs::path root, NameList images)
      : Dataset(std::move(facts)), root_(std::move(root)), images_(std::move(images)) {}

  [[nodiscard]] std::vector<std::uint8_t> read(std::int64_t i) const override {
    return read_file(file_of(i), max_image_file_bytes);
  }

  void decode(std::int64_t i, std::span<const std::uint8_t> bytes, const ChooseRegion& choose,
              Image& out) const override {
    decode_image_of(geometry(), bytes, printable(file_of(i)), choose, out);
  }

 private:
  [[nodiscard]] fs::path file_of(std::int64_t i) const { return root_ / images_[static_cast<std::size_t>(i)]; }

  fs::path root_;
  NameList images_;
};

std::vector<std::int64_t> ids_between(std::size_t begin, std::size_t end) {
  std::vector<std::int64_t> ids(end - begin);
  std::iota(ids.begin(), ids.end(), static_cast<std::int64_t>(begin));
  return ids;
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
    ImageLists lists = read_image_lists(config.lists);
    split = {ids_between(0, lists.train), ids_between(lists.train, lists.images.size())};
    listing.class_names = std::move(lists.classes);
    listing.images = std::move(lists.images);
    listing.labels = std::move(lists.labels);
  }
  const auto images = static_cast<std::int64_t>(listing.images.size());
  const ImageGeometry geometry = find_geometry(images, config, [&](std::int64_t i, Image& out) {
    const fs::path file = config.path / listing.images[static_cast<std::size_t>(i)];
    decode_image(read_file(file, max_image_file_bytes), printable(file), whole_image, out);
  });

  Fingerprint fingerprint;
  fingerprint.add(config.kind);
  fingerprint.add(static_cast<std::uint64_t>(geometry.size));
  for (const std::string& name : listing.class_names) fingerprint.add(name);
  for (std::size_t i = 0; i < listing.images.size(); ++i) {
    fingerprint.add(listing.images[i]);
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
