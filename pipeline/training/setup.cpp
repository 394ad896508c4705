#include <flowdarts/pipeline/device.hpp>
#include <flowdarts/pipeline/training/schedule.hpp>
#include <flowdarts/pipeline/training/setup.hpp>
#include <flowdarts/spaces/stand_alone/network.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/split.hpp>

#include <numeric>
#include <string>

namespace flowdarts {
namespace {

/// Throws InputError for a value that the space has no use for.
void refuse_options_of_other_spaces(const TrainOptions& options, std::string_view space) {
  const auto refuse = [&](bool given, std::string_view option, std::string_view owner) {
    if (!given) return;
    throw InputError(std::string(option) + ": is an option of " + std::string(owner) + ", found the space " +
                     std::string(space));
  };
  const NetworkOptions& network = options.network;
  const RegularisationOptions& regularisation = options.regularisation;
  if (space != darts::space_name) {
    refuse(network.stem.value != darts::Stem::cifar, "--stem", "the DARTS space");
    refuse(network.auxiliary_norm, "--auxiliary-norm", "the DARTS space");
    refuse(regularisation.auxiliary_weight > 0, "--auxiliary-weight", "the DARTS space");
  }
  if (space != mobilenet::space_name) {
    refuse(!network.widths.value.empty(), "--widths", "the MobileNet-like space");
    refuse(network.stem_stride != 2, "--stem-stride", "the MobileNet-like space");
    refuse(regularisation.dropout > 0, "--dropout", "the MobileNet-like space");
  } else {
    refuse(network.channels > 0, "--channels", "spaces of cells");
    refuse(network.cells > 0, "--cells", "spaces of cells");
  }
  if (space == nas_bench_201::space_name) {
    refuse(regularisation.drop_path > 0, "--drop-path", "the DARTS and the MobileNet-like space");
  }
}

StandAloneSpec spec_of(const TrainOptions& options, std::string_view space, const Dataset& train) {
  const NetworkOptions& network = options.network;
  StandAloneSpec spec = paper_spec(space, network.stem.value);
  spec.classes = train.classes();
  spec.image_size = train.geometry().size;
  if (network.channels > 0) spec.channels = static_cast<int>(network.channels);
  if (network.cells > 0) spec.cells = static_cast<int>(network.cells);
  spec.auxiliary = options.regularisation.auxiliary_weight > 0;
  spec.auxiliary_norm = network.auxiliary_norm;
  spec.stem_stride = static_cast<int>(network.stem_stride);
  if (!network.widths.value.empty()) {
    try {
      spec.widths = mobilenet::parse_widths(network.widths.value);
    } catch (const InputError& reason) {
      throw InputError(std::string("--widths: ") + reason.what());
    }
  }
  return spec;
}

/// Test images are then a data set of their own.
bool has_one_part(DatasetKind kind) {
  return kind == DatasetKind::folder || kind == DatasetKind::shards;
}

std::shared_ptr<const Dataset> open_part(const TrainDataOptions& options, Part part) {
  const bool one_part = has_one_part(options.dataset.value);
  const bool elsewhere = one_part && part == Part::test;
  return open_dataset({.kind = std::string(name_in_options(options.dataset.value)),
                       .path = elsewhere ? options.test_data.value : options.data.value,
                       .part = one_part ? Part::train : part,
                       .skip_corrupt = options.skip_corrupt,
                       .image_size = static_cast<int>(options.image_size.value)});
}

void check_test_data(const Dataset& train, const Dataset& test, const TrainDataOptions& options) {
  if (train.class_names() != test.class_names()) {
    throw InputError("--test-data " + options.test_data.value + ": found " + std::to_string(test.classes()) +
                     " classes, expected the " + std::to_string(train.classes()) + " of --data " + options.data.value +
                     " under the same names");
  }
  if (train.geometry().size != test.geometry().size || train.geometry().fixed != test.geometry().fixed) {
    throw InputError("--test-data " + options.test_data.value + ": found images that reach the network with " +
                     std::to_string(test.geometry().size) + " pixels a side, expected the " +
                     std::to_string(train.geometry().size) + " of --data; --image-size fits both to one size");
  }
}

}  // namespace

RunOptions device_options(const TrainRunOptions& options) {
  RunOptions device;
  device.device = options.device.value;
  device.deterministic = options.deterministic.value;
  return device;
}

AugmentOptions augment_options(const TrainDataOptions& options) {
  return {.padding = static_cast<int>(options.padding.value),
          .cutout = static_cast<int>(options.cutout.value),
          .jitter = {.brightness = options.jitter_brightness,
                     .contrast = options.jitter_contrast,
                     .saturation = options.jitter_saturation,
                     .hue = options.jitter_hue},
          .rand_augment = {.ops = static_cast<int>(options.rand_augment.value),
                           .magnitude = static_cast<int>(options.rand_augment_magnitude.value)},
          .lighting = options.lighting,
          .filter = options.resize.value};
}

TrainingSetup open_training(const TrainOptions& options, const Architecture& architecture) {
  const std::string_view space = space_of(architecture);
  refuse_options_of_other_spaces(options, space);
  check_device(device_options(options.run));
  check_schedule(options.schedule, options.run.epochs, options.run.batch_size);
  const TrainDataOptions& data = options.data;
  const std::string kind(name_in_options(data.dataset.value));
  if (data.data.value.empty() && data.dataset.value != DatasetKind::fashion_mnist) {
    throw InputError("--data: found nothing, expected the folder that holds the files of " + kind);
  }
  if (data.test_data.value.empty() == has_one_part(data.dataset.value)) {
    throw InputError(
        "--test-data: found " + (data.test_data.value.empty() ? "nothing" : data.test_data.value) + " with --dataset " +
        kind + ", expected " +
        (data.test_data.value.empty() ? "other images of the same classes" : "nothing: it has its own test part"));
  }
  TrainingSetup setup{.train = open_part(data, Part::train), .test = open_part(data, Part::test)};
  check_test_data(*setup.train, *setup.test, data);
  const Augmentation fits(setup.train->geometry(), setup.train->normalisation(), augment_options(data));
  setup.ids.resize(static_cast<std::size_t>(setup.train->size()));
  std::iota(setup.ids.begin(), setup.ids.end(), 0);
  if (data.limit_samples > 0) {
    setup.ids = limit_samples(setup.ids, setup.train->labels(), setup.train->classes(), data.limit_samples,
                              static_cast<std::uint64_t>(options.run.seed.value));
  }
  setup.network = {architecture, spec_of(options, space, *setup.train)};
  const torch::NoGradGuard no_grad;
  const std::int64_t side = setup.network.spec.image_size;
  static_cast<void>(StandAloneNetwork(setup.network).forward(torch::zeros({2, 3, side, side})));
  return setup;
}

}  // namespace flowdarts
