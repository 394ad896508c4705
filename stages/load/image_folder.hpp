#pragma once
// A folder of class folders with JPEG and PNG files, the layout of ImageNet's training images.

#include <cstdint>
#include <filesystem>
#include <flowdarts/stages/load/dataset.hpp>
#include <flowdarts/stages/load/name_list.hpp>
#include <memory>
#include <string>
#include <vector>

namespace flowdarts {

/// The images of such a folder, class by class.
struct FolderListing {
  std::vector<std::string> class_names;
  NameList images;                   ///< CLASS/FILE
  std::vector<std::int32_t> labels;  ///< of each image
  std::vector<std::string> skipped;  ///< a line for each thing left out
};

/// What open_image_folder() reads of a folder without lists, and throws.
[[nodiscard]] FolderListing list_image_folder(const std::filesystem::path& root, bool skip_corrupt);

/// Classes are the sub-folders in the order of their names' bytes; images are their files called *.jpg, *.jpeg or *.png
/// in any case, again in the order of their names. Other files, hidden ones and deeper folders are ignored. Only names
/// are read now, pixels when they are asked for. Throws InputError naming what is wrong: no folder, images
/// directly in it, no class folder, a class folder without images, an entry that cannot be read, such as a symbolic
/// link that leads nowhere or round in a circle. With skip_corrupt, entries that cannot be read and class folders
/// without images are left out.
///
/// With config.lists the images are those of the lists (image_lists.hpp), T's and then V's, and no folder is searched:
/// a missing one is found when it is decoded.
[[nodiscard]] std::shared_ptr<const Dataset> open_image_folder(const DatasetConfig& config);

}  // namespace flowdarts
