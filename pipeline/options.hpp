#pragma once
// The options every search has, whatever its policies and space.

#include <flowdarts/spaces/mixed_op/form.hpp>
#include <flowdarts/spaces/support/option.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace flowdarts {

enum class Device : std::uint8_t { cpu, cuda };

constexpr std::array<std::pair<Device, std::string_view>, 2> names_of(Device) {
  return {{{Device::cpu, "cpu"}, {Device::cuda, "cuda"}}};
}

enum class LogLevel : std::uint8_t { debug, info, warning, error };

constexpr std::array<std::pair<LogLevel, std::string_view>, 4> names_of(LogLevel) {
  return {{{LogLevel::debug, "debug"},
           {LogLevel::info, "info"},
           {LogLevel::warning, "warning"},
           {LogLevel::error, "error"}}};
}

struct RunOptions {
  BOOST_HANA_DEFINE_STRUCT(
      RunOptions, (TextOption<"the run directory; must not hold a run unless --resume is given", "run">, out),
      (Option<std::int64_t, "key of all random numbers", 0, AtLeast{0}>, seed),
      (Option<std::int64_t, "epochs of the search", 50, AtLeast{1}>, epochs),
      (Option<std::int64_t, "images of a step", 64, AtLeast{1}>, batch_size),
      (Option<Device, "where tensors live", Device::cpu>, device),
      (Option<MixedOpForm, "how mixed ops are computed: fused operators, or op by op as the papers write them",
              MixedOpForm::fused>,
       mixed_op),
      (Option<Precision,
              "of activations and convolutions; weights, alpha and statistics stay float32; tf32: with --device cuda",
              Precision::fp32>,
       precision),
      (Option<bool, "with several processes: batch norms use the statistics of the whole batch", false>, sync_bn),
      (Option<bool, "on a GPU too, the same bits in every run; some operators are slower then", false>, deterministic),
      (Option<std::int64_t, "cores the search may use; 0: all", 0, Closed{0, 1024}>, threads),
      (Option<std::int64_t, "threads that load data at once; 0: as --threads and --device suggest", 0, Closed{0, 1024}>,
       loader_threads),
      (Option<std::int64_t, "batches in flight between the loaders and the device", 8, AtLeast{2}>, prefetch),
      (Option<std::int64_t, "threads that wait for image files at once", 16, Closed{1, 1024}>, reader_threads),
      (Option<std::int64_t, "batches whose files are read before the loaders take them", 16, AtLeast{1}>, read_ahead),
      (Option<std::int64_t, "checkpoints kept, the newest", 2, AtLeast{1}>, keep_checkpoints),
      (Option<std::int64_t, "epochs between two measurements of the validation Hessian's eigenvalues; 0: never", 0,
              AtLeast{0}>,
       hessian_every),
      (Option<std::int64_t, "parameters that the stand-alone network of the architecture may have; 0: any number", 0,
              AtLeast{0}>,
       max_params),
      (Option<std::int64_t, "multiply-accumulates that it may need for an image; 0: any number", 0, AtLeast{0}>,
       max_macs),
      (Option<LogLevel, "least important lines that are logged", LogLevel::info>, log_level));
};

/// Options that a resumed search may have otherwise without being another search.
inline constexpr std::array<std::string_view, 13> not_identity{
    "out",          "device",           "threads",   "loader-threads", "prefetch", "reader-threads",
    "read-ahead",   "keep-checkpoints", "log-level", "data",           "lists",    "benchmark-table",
    "deterministic"};

enum class DatasetKind : std::uint8_t { fashion_mnist, mnist, cifar10, cifar100, imagenet16_120, folder, shards };

constexpr std::array<std::pair<DatasetKind, std::string_view>, 7> names_of(DatasetKind) {
  return {{{DatasetKind::fashion_mnist, "fashion-mnist"},
           {DatasetKind::mnist, "mnist"},
           {DatasetKind::cifar10, "cifar10"},
           {DatasetKind::cifar100, "cifar100"},
           {DatasetKind::imagenet16_120, "imagenet16-120"},
           {DatasetKind::folder, "folder"},
           {DatasetKind::shards, "shards"}}};
}

enum class SplitKind : std::uint8_t { automatic, canonical, stratified };

constexpr std::array<std::pair<SplitKind, std::string_view>, 3> names_of(SplitKind) {
  return {{{SplitKind::automatic, "auto"}, {SplitKind::canonical, "canonical"}, {SplitKind::stratified, "stratified"}}};
}

struct DataOptions {
  BOOST_HANA_DEFINE_STRUCT(
      DataOptions, (Option<DatasetKind, "the data set", DatasetKind::fashion_mnist>, dataset),
      (TextOption<
           "where it is (default for fashion-mnist: Debian's dataset-fashion-mnist); of shards, a folder of *.tar or "
           "a pattern DIR/NAME-{000000..000146}.tar">,
       data),
      (TextOption<"folder of lists by `flowdarts data split`: the images of a folder that are T and V">, lists),
      (Option<std::int64_t, "use a class-balanced random subset of so many images; 0: all", 0, AtLeast{0}>,
       limit_samples),
      (Option<SplitKind,
              "T and V: the first and the last images, or a random part of each class; auto: random for a folder and "
              "shards",
              SplitKind::automatic>,
       split),
      (Option<double, "part of the images that is T", 0.5, Open{0.0, 1.0}>, train_portion),
      (Option<double, "part of each class that is V; 0: all that T leaves", 0, HalfOpen{0.0, 1.0}>, val_portion),
      (Option<std::int64_t, "side of the images; 0: the data set's own, for files of larger images 224", 0,
              Closed{0, 1024}>,
       image_size),
      (Option<std::int64_t, "black border of small images before the random crop, pixels", 4, Closed{0, 1024}>,
       padding),
      (Option<double, "colour jitter: brightness by a factor of 1 +- this", 0, AtLeast{0.0}>, jitter_brightness),
      (Option<double, "colour jitter: contrast", 0, AtLeast{0.0}>, jitter_contrast),
      (Option<double, "colour jitter: saturation", 0, AtLeast{0.0}>, jitter_saturation),
      (Option<double, "colour jitter: hue, part of the colour circle", 0, Closed{0.0, 0.5}>, jitter_hue),
      (Option<std::int64_t, "side of the cutout hole, pixels; 0: none", 0, Closed{0, 1024}>, cutout),
      (Option<std::int64_t, "of shards: samples that are mixed with one another while file after file is read", 10000,
              AtLeast{1}>,
       shuffle_buffer),
      (Option<bool, "count and leave out broken images instead of ending", false>, skip_corrupt));
};

}  // namespace flowdarts
