#include <CLI/CLI.hpp>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <flowdarts/stages/load/image_folder.hpp>
#include <flowdarts/stages/load/image_lists.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <flowdarts/stages/load/split.hpp>
#include <iostream>
#include <numeric>

#include "commands.hpp"

namespace flowdarts::app {

namespace fs = std::filesystem;

namespace {

/// The line of each image in a list.
std::string list_of(const FolderListing& listing, const std::vector<std::int64_t>& ids) {
  std::string text;
  for (const std::int64_t id : ids) text.append(listing.images[static_cast<std::size_t>(id)]) += '\n';
  return text;
}

/// Names with a line break would be two lines of a list.
void check_names(const FolderListing& listing) {
  const auto check = [](std::string_view name) {
    if (name.find_first_of("\r\n") != std::string::npos) {
      throw InputError(quote(name, 200) + ": a name with a line break cannot stand in a list");
    }
  };
  for (const std::string& name : listing.class_names) check(name);
  for (std::size_t i = 0; i < listing.images.size(); ++i) check(listing.images[i]);
}

}  // namespace

void DataSplit::declare(CLI::App& command) {
  command.add_option("--dataset", dataset, "The kind of data set: folder, a folder of class folders")
      ->capture_default_str();
  command.add_option("--data", data, "Where it is")->required();
  command.add_option("--train", train, "Part of each class that becomes T, for example 0.10")->required();
  command.add_option("--val", val, "Part of each class that becomes V, for example 0.025")->required();
  command.add_option("--seed", seed, "Key of the choice")->capture_default_str();
  command.add_option("--out", out, "Folder for the lists; must not hold lists yet")->required();
  command.add_flag("--skip-corrupt", skip_corrupt, "Leave out entries that cannot be read instead of ending");
}

void DataSplit::run() const {
  if (dataset != "folder") {
    throw InputError("--dataset: found " + quote(dataset) + ", expected \"folder\": lists are of image files");
  }
  const FolderListing listing = list_image_folder(data, skip_corrupt);
  check_names(listing);
  std::vector<std::int64_t> ids(listing.images.size());
  std::iota(ids.begin(), ids.end(), 0);
  const SplitLists split =
      stratified_parts(ids, listing.labels, static_cast<std::int32_t>(listing.class_names.size()), train, val, seed);
  std::string classes;
  for (const std::string& name : listing.class_names) classes += name + "\n";
  const fs::path folder(out);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw InputError("--out: " + printable(folder) + ": cannot be made: " + error.message());
  for (const std::string_view name : {classes_list, train_list, val_list}) {
    if (fs::exists(folder / name)) {
      throw InputError("--out: found " + printable(folder / name) + " there already, expected a folder without lists");
    }
  }
  write_file_atomically(folder / classes_list, classes);
  write_file_atomically(folder / train_list, list_of(listing, split.train));
  write_file_atomically(folder / val_list, list_of(listing, split.val));
  for (const std::string& line : listing.skipped) std::cerr << "flowdarts: left out " << line << "\n";
  std::cout << listing.class_names.size() << " classes, " << listing.images.size() << " images: T "
            << split.train.size() << ", V " << split.val.size() << "\n"
            << "lists in " << printable(folder) << "; search them with --dataset folder --data " << printable(data)
            << " --lists " << printable(folder) << "\n";
}

}  // namespace flowdarts::app
