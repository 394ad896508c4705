#pragma once
// A folder of class folders with JPEG and PNG files, the layout of ImageNet's training images.

#include <flowdarts/stages/load/dataset.hpp>
#include <memory>

namespace flowdarts {

/// Classes are the sub-folders in the order of their names' bytes; images are their files called *.jpg, *.jpeg or *.png
/// in any case, again in the order of their names. Other files, hidden ones and deeper folders are ignored. Only names
/// and sizes are read now, pixels when they are asked for. Throws InputError naming what is wrong: no folder, images
/// directly in it, no class folder, a class folder without images, an entry that cannot be read, such as a symbolic
/// link that leads nowhere or round in a circle. With skip_corrupt, entries that cannot be read and class folders
/// without images are left out.
[[nodiscard]] std::shared_ptr<const Dataset> open_image_folder(const DatasetConfig& config);

}  // namespace flowdarts
