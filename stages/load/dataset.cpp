#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/cifar.hpp>
#include <flowdarts/stages/load/dataset.hpp>
#include <flowdarts/stages/load/idx.hpp>
#include <flowdarts/stages/load/image_folder.hpp>
#include <flowdarts/stages/load/imagenet16.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <flowdarts/stages/load/shards.hpp>

namespace flowdarts {
namespace {

// Larger images would be a slip: a batch of 64 already takes 800 MB.
constexpr int max_image_size = 1024;

}  // namespace

std::shared_ptr<const Dataset> open_dataset(const DatasetConfig& given) {
  DatasetConfig config = given;
  using Open = std::shared_ptr<const Dataset> (*)(const DatasetConfig&);
  Open open = nullptr;
  if (config.kind == "fashion-mnist" || config.kind == "mnist") open = open_idx;
  if (config.kind == "cifar10") open = open_cifar10;
  if (config.kind == "cifar100") open = open_cifar100;
  if (config.kind == "imagenet16-120") open = open_imagenet16;
  if (config.kind == "folder") open = open_image_folder;
  if (config.kind == "shards") open = open_shards;
  if (open == nullptr) {
    throw InputError("data set kind '" + printable(config.kind) +
                     "', expected fashion-mnist, mnist, cifar10, cifar100, imagenet16-120, folder or shards");
  }
  if (config.path.empty()) {
    if (config.kind != "fashion-mnist")
      throw InputError("data set " + config.kind + " needs the path of its files: --data");
    config.path = "/usr/share/datasets/fashion-mnist";
  }
  if (config.kind != "folder" && !config.lists.empty()) {
    throw InputError("lists of images: found the data set " + config.kind + ", expected folder");
  }
  const bool any_size = config.kind == "folder" || config.kind == "shards";
  const int own_size = config.kind == "imagenet16-120" ? 16 : 32;
  if (config.image_size < 0 || config.image_size > max_image_size ||
      (!any_size && config.image_size != 0 && config.image_size != own_size)) {
    throw InputError("image size " + std::to_string(config.image_size) + ", expected " +
                     (any_size ? "0 to " + std::to_string(max_image_size)
                               : std::to_string(own_size) + ", the size of " + config.kind));
  }
  return open(config);
}

}  // namespace flowdarts
