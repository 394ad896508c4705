#pragma once
// The options of `flowdarts train`.

#include <flowdarts/pipeline/options.hpp>
#include <flowdarts/spaces/darts/spec.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/stages/load/rand_augment.hpp>
#include <flowdarts/stages/load/resize.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace flowdarts {

struct NetworkOptions {
  BOOST_HANA_DEFINE_STRUCT(
      NetworkOptions,
      (TextOption<"the architecture: its text, a genotype.json or the run directory of a search">, genotype),
      (TextOption<"its space, nas-bench-201, darts or mobilenet; if not given, the genotype's own">, space),
      (Option<std::int64_t, "C: channels of the first cells; 0: the papers' (16; DARTS 36, with the ImageNet stem 48)",
              0, Closed{0, 4096}>,
       channels),
      (Option<std::int64_t,
              "cells in each stage, DARTS: in all; 0: the papers' (5; DARTS 20, with the ImageNet stem 14)", 0,
              Closed{0, 100}>,
       cells),
      (Option<darts::Stem, "DARTS: layers before the cells", darts::Stem::cifar>, stem),
      (Option<bool, "DARTS: batch norm behind the last convolution of the ImageNet stem's auxiliary classifier", false>,
       auxiliary_norm),
      (TextOption<"MobileNet-like: channels of the stem, stages 0 to 6 and the head; none: ProxylessNAS'">, widths),
      (Option<std::int64_t, "MobileNet-like: stride of the stem", 2, Closed{1, 2}>, stem_stride));
};

struct TrainRunOptions {
  BOOST_HANA_DEFINE_STRUCT(
      TrainRunOptions, (TextOption<"the run directory; must not hold a run unless --resume is given", "run">, out),
      (Option<std::int64_t, "key of all random numbers", 0, AtLeast{0}>, seed),
      (Option<std::int64_t, "epochs of the training", 600, AtLeast{1}>, epochs),
      (Option<std::int64_t, "images of a step", 96, AtLeast{2}>, batch_size),
      (Option<Device, "where tensors live", Device::cpu>, device),
      (Option<bool, "on a GPU too, the same bits in every run; some operators are slower then", false>, deterministic),
      (Option<std::int64_t, "cores the training may use; 0: all", 0, Closed{0, 1024}>, threads),
      (Option<std::int64_t, "threads that load data at once; 0: as --threads and --device suggest", 0, Closed{0, 1024}>,
       loader_threads),
      (Option<std::int64_t, "batches in flight between the loaders and the device", 8, AtLeast{2}>, prefetch),
      (Option<std::int64_t, "threads that wait for image files at once", 16, Closed{1, 1024}>, reader_threads),
      (Option<std::int64_t, "batches whose files are read before the loaders take them", 16, AtLeast{1}>, read_ahead),
      (Option<std::int64_t, "checkpoints kept, the newest", 2, AtLeast{1}>, keep_checkpoints),
      (Option<LogLevel, "least important lines that are logged", LogLevel::info>, log_level));
};

struct TrainDataOptions {
  BOOST_HANA_DEFINE_STRUCT(
      TrainDataOptions, (Option<DatasetKind, "the data set", DatasetKind::fashion_mnist>, dataset),
      (TextOption<"where it is (default for fashion-mnist: Debian's dataset-fashion-mnist); of a folder or "
                  "shards, the training images">,
       data),
      (TextOption<"of a folder or shards: the test images, another such of the same classes">, test_data),
      (Option<std::int64_t, "train on a class-balanced random subset of so many images; 0: all", 0, AtLeast{0}>,
       limit_samples),
      (Option<std::int64_t, "side of the images; 0: the data set's own, for files of larger images 224", 0,
              Closed{0, 1024}>,
       image_size),
      (Option<std::int64_t, "black border of small images before the random crop, pixels", 4, Closed{0, 1024}>,
       padding),
      (Option<ResizeFilter, "how larger images are resized", ResizeFilter::bilinear>, resize),
      (Option<double, "colour jitter: brightness by a factor of 1 +- this", 0, AtLeast{0.0}>, jitter_brightness),
      (Option<double, "colour jitter: contrast", 0, AtLeast{0.0}>, jitter_contrast),
      (Option<double, "colour jitter: saturation", 0, AtLeast{0.0}>, jitter_saturation),
      (Option<double, "colour jitter: hue, part of the colour circle", 0, Closed{0.0, 0.5}>, jitter_hue),
      (Option<std::int64_t, "ops of RandAugment on each image; 0: none", 0, Closed{0, 14}>, rand_augment),
      (Option<std::int64_t, "magnitude of RandAugment's ops, on torchvision's scale", 9,
              Closed{0, RandAugment::max_magnitude}>,
       rand_augment_magnitude),
      (Option<double, "deviation of the noise along the principal axes of the colours; 0: none", 0, AtLeast{0.0}>,
       lighting),
      (Option<std::int64_t, "side of the cutout hole, pixels; 0: none", 0, Closed{0, 1024}>, cutout),
      (Option<std::int64_t, "of shards: samples that are mixed with one another while file after file is read", 10000,
              AtLeast{1}>,
       shuffle_buffer),
      (Option<bool, "count and leave out broken images instead of ending", false>, skip_corrupt));
};

enum class OptimizerKind : std::uint8_t { sgd, rmsprop };

constexpr std::array<std::pair<OptimizerKind, std::string_view>, 2> names_of(OptimizerKind) {
  return {{{OptimizerKind::sgd, "sgd"}, {OptimizerKind::rmsprop, "rmsprop"}}};
}

struct OptimizerOptions {
  BOOST_HANA_DEFINE_STRUCT(
      OptimizerOptions, (Option<OptimizerKind, "how weights are moved", OptimizerKind::sgd>, optimizer),
      (Option<double, "momentum", 0.9, HalfOpen{0.0, 1.0}>, momentum),
      (Option<bool, "sgd: Nesterov momentum", false>, nesterov),
      (Option<double, "weight decay (L2) of all weights", 3e-4, AtLeast{0.0}>, weight_decay),
      (Option<double, "largest norm of the gradient of all weights; 0: no clipping", 5.0, AtLeast{0.0}>, clip),
      (Option<double, "rmsprop: decay of the mean square of a gradient", 0.9, HalfOpen{0.0, 1.0}>, rms_decay),
      (Option<double, "rmsprop: added to the mean square, inside the root", 1e-3, Above{0.0}>, rms_epsilon));
};

enum class ScheduleKind : std::uint8_t { cosine, step, linear };

constexpr std::array<std::pair<ScheduleKind, std::string_view>, 3> names_of(ScheduleKind) {
  return {{{ScheduleKind::cosine, "cosine"}, {ScheduleKind::step, "step"}, {ScheduleKind::linear, "linear"}}};
}

/// How the learning rate grows in the first epochs; see learning_rate().
enum class WarmUpKind : std::uint8_t { proportional, scaled, from };

constexpr std::array<std::pair<WarmUpKind, std::string_view>, 3> names_of(WarmUpKind) {
  return {{{WarmUpKind::proportional, "proportional"}, {WarmUpKind::scaled, "scaled"}, {WarmUpKind::from, "from"}}};
}

struct ScheduleOptions {
  BOOST_HANA_DEFINE_STRUCT(
      ScheduleOptions, (Option<double, "learning rate", 0.025, Above{0.0}>, lr),
      (Option<ScheduleKind, "how the learning rate falls from epoch to epoch", ScheduleKind::cosine>, schedule),
      (Option<double, "cosine: the learning rate it falls towards", 0, AtLeast{0.0}>, lr_min),
      (Option<double, "step: factor of the learning rate", 0.97, HalfOpen{0.0, 1.0}>, step_factor),
      (Option<std::int64_t, "step: epochs between two steps", 1, AtLeast{1}>, step_epochs),
      (Option<std::int64_t, "epochs in which the learning rate grows first", 0, AtLeast{0}>, warmup_epochs),
      (Option<WarmUpKind, "how: in proportion to the epoch, by such a part of the schedule's rate, or from --warmup-lr",
              WarmUpKind::proportional>,
       warmup),
      (Option<double, "learning rate of the first epoch with --warmup from", 1e-4, AtLeast{0.0}>, warmup_lr),
      (Option<std::int64_t, "no warm-up unless the batch has more images", 0, AtLeast{0}>, warmup_above));
};

struct RegularisationOptions {
  BOOST_HANA_DEFINE_STRUCT(
      RegularisationOptions,
      (Option<double, "label smoothing: part of the target that all classes share", 0, HalfOpen{0.0, 1.0}>,
       label_smoothing),
      (Option<double, "DARTS: weight of the auxiliary classifier's loss; 0: there is no such classifier", 0.4,
              AtLeast{0.0}>,
       auxiliary_weight),
      (Option<double,
              "DARTS: probability of dropping an op, reached in proportion to the epoch; MobileNet-like: of dropping "
              "the last layer, the others in proportion to their depth",
              0, HalfOpen{0.0, 1.0}>,
       drop_path),
      (Option<double, "MobileNet-like: dropout before the classifier", 0, HalfOpen{0.0, 1.0}>, dropout),
      (Option<double, "decay of the averaged weights that are tested then; 0: no average", 0, HalfOpen{0.0, 1.0}>,
       average_decay));
};

/// All options of a training.
struct TrainOptions {
  NetworkOptions network;
  TrainRunOptions run;
  TrainDataOptions data;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  RegularisationOptions regularisation;
};

/// Options that a resumed training may have otherwise without being another training.
inline constexpr std::array<std::string_view, 12> not_training_identity{
    "out",        "device",           "threads",   "loader-threads", "prefetch",  "reader-threads",
    "read-ahead", "keep-checkpoints", "log-level", "data",           "test-data", "deterministic"};

}  // namespace flowdarts
