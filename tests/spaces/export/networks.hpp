#pragma once
// Small networks whose tensors all have values of their own.

#include <torch/torch.h>

#include <unistd.h>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <flowdarts/spaces/export/safetensors.hpp>
#include <flowdarts/spaces/module_weights.hpp>
#include <flowdarts/spaces/stand_alone/network.hpp>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "../golden_values.hpp"

namespace flowdarts::testing {

inline torch::Tensor values_like(const torch::Tensor& tensor, double scale, double shift, std::uint32_t offset) {
  const auto values = golden_values(static_cast<std::size_t>(tensor.numel()), scale, offset);
  return torch::tensor(values, torch::kFloat64).add_(shift).reshape(tensor.sizes()).to(torch::kFloat);
}

/// Every parameter and buffer has numbers of its own: weights that keep the signal in bounds, scales about 1, shifts
/// and means about 0, variances about 1.
inline void fill(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  std::uint32_t offset = 0;
  const auto set = [&](torch::Tensor tensor, double scale, double shift) {
    tensor.copy_(values_like(tensor, scale, shift, offset));
    offset += static_cast<std::uint32_t>(tensor.numel());
  };
  for (const auto& item : module.named_parameters()) {
    const torch::Tensor& tensor = item.value();
    if (tensor.dim() > 1) {
      set(tensor, std::sqrt(3.0 / static_cast<double>(tensor.numel() / tensor.size(0))), 0);
    } else {
      set(tensor, 0.3, item.key().ends_with("weight") ? 1.0 : 0.0);
    }
  }
  for (const auto& item : module.named_buffers()) {
    set(item.value(), 0.4, item.key().ends_with("running_var") ? 1.0 : 0.0);
  }
  module.eval();
}

/// [batch, 3, side, side]
inline torch::Tensor some_images(std::int64_t batch, std::int64_t side) {
  return values_like(torch::empty({batch, 3, side, side}), 2, 0, static_cast<std::uint32_t>(1000 * batch + side));
}

/// A folder that is gone with the test.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("flowdarts-export-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  /// Writes a file of the folder and says where it is.
  template <class Bytes>
  std::string write(const std::string& name, const Bytes& bytes) const {
    const std::filesystem::path file = path_ / name;
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file.string();
  }

 private:
  std::filesystem::path path_;
};

inline const std::string nas_bench_201_cell =
    "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|";
/// Every op at both strides, but for the pools and separable convolutions that differ in size alone.
inline const std::string darts_cells =
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_5x5', 2), ('max_pool_3x3', 0), "
    "('avg_pool_3x3', 1), ('conv_7x1_1x7', 3), ('sep_conv_5x5', 0), ('dil_conv_3x3', 4)], normal_concat=range(2, 6), "
    "reduce=[('sep_conv_5x5', 0), ('skip_connect', 1), ('max_pool_3x3', 0), ('conv_7x1_1x7', 1), ('dil_conv_3x3', 0), "
    "('avg_pool_3x3', 1), ('skip_connect', 2), ('sep_conv_7x7', 3)], reduce_concat=range(2, 6))";
inline const std::string layers =
    "k3e3,skip,k5e6,k3e3,k5e3,skip,skip,skip,k7e3,k3e3,skip,skip,k3e6,skip,k3e3,skip,k7e6,skip,skip,k5e3,k3e3";

/// A network of the architecture at a small size; `stem` is DARTS'.
inline StandAlone small_network(const std::string& genotype, darts::Stem stem = darts::Stem::cifar) {
  StandAlone network{.architecture = read_architecture(GenotypeSource{.text = genotype}, space_of({.text = genotype}))};
  network.spec = {.classes = 7, .image_size = 32, .channels = 4, .cells = 2, .stem = stem};
  if (space_of(network.architecture) == darts::space_name) network.spec.cells = 4;
  if (stem == darts::Stem::imagenet) network.spec.image_size = 224;
  network.spec.widths = {.stem = 4, .stages = {3, 4, 4, 5, 6, 6, 8}, .head = 9};
  return network;
}

}  // namespace flowdarts::testing
