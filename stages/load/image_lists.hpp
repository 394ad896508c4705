#pragma once
// The images of a search by name, so that a search on a part of a large folder can be repeated anywhere.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <flowdarts/stages/load/name_list.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts {

/// The files of a folder of lists. classes.txt: the class names, a line each, in the order of their labels. train.txt
/// and val.txt: the images of T and of V, a line each, CLASS/FILE below the data folder.
inline constexpr std::string_view classes_list = "classes.txt", train_list = "train.txt", val_list = "val.txt";

struct ImageLists {
  std::vector<std::string> classes;
  NameList images;                   ///< CLASS/FILE, those of T first
  std::vector<std::int32_t> labels;  ///< of each image
  std::size_t train = 0;             ///< so many images are T, the rest V
};

/// The lines of classes.txt. Throws InputError naming file and line: for a file that cannot be read or is empty, and
/// for a line that is no file name or stands there twice.
[[nodiscard]] std::vector<std::string> read_class_names(const std::filesystem::path& file);

/// Reads a folder of lists. Throws InputError naming file and line: for a list that cannot be read or is empty, a line
/// that is not CLASS/FILE with a class of classes.txt, a class or an image named twice, and a class without an image in
/// T. Whether the images are there is not looked at.
[[nodiscard]] ImageLists read_image_lists(const std::filesystem::path& folder);

}  // namespace flowdarts
