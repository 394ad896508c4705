#pragma once
// From a data set's sample to the normalised tensor a network sees. A sample's random choices come from the generator
// that is passed in and from nothing else.

#include <array>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/colour_jitter.hpp>
#include <flowdarts/stages/load/crop.hpp>
#include <flowdarts/stages/load/dataset.hpp>
#include <flowdarts/stages/load/rand_augment.hpp>
#include <flowdarts/stages/load/resize.hpp>
#include <span>

namespace flowdarts {

struct AugmentOptions {
  int padding = 4;  ///< black border of fixed-size images before the random crop, pixels, 0 .. size
  int cutout = 0;   ///< side of the square hole (DeVries and Taylor 2017, arXiv:1708.04552), pixels; 0: none
  ColourJitter jitter = {};
  RandAugment rand_augment = {};
  /// Standard deviation of the noise along the principal axes of ImageNet's colours (Krizhevsky, Sutskever, Hinton,
  /// NIPS 2012, section 4.1); 0: none.
  double lighting = 0;
  ResizeFilter filter = ResizeFilter::bilinear;  ///< of images that are not of fixed size
};

/// The part of a width x height image that torchvision's RandomResizedCrop takes: ten tries of area U(0.08, 1) and
/// aspect ratio log-uniform in [3/4, 4/3], position uniform; else the centre with the ratio clipped.
[[nodiscard]] Region random_resized_crop(int width, int height, CounterRng& rng);

/// Turns samples of one data set into float32 planes [3, size, size], or into uint8 pixels [size, size, 3] whose
/// colours are left to a device. Immutable, safe to use from any number of threads.
class Augmentation {
 public:
  /// Throws InputError if an option is out of range.
  Augmentation(ImageGeometry geometry, const Normalisation& normalisation, const AugmentOptions& options);

  /// Training. Fixed-size images: black padding, random crop, horizontal flip with probability 1/2, normalisation,
  /// cutout on the normalised tensor (its hole is clipped at the borders). Others: random_resized_crop, resized to size
  /// x size with antialiased weights, flip, normalisation, cutout; a JPEG whose crop is at least 4 times as large as
  /// the output in both directions is decoded at 1/2, 1/4 or 1/8 before the resize, which differs slightly from
  /// resizing the full image. Where the options ask for them, colour jitter, RandAugment and lighting follow the flip,
  /// the first two on pixels rounded to 8 bits. `bytes` are those of dataset.read(sample), `scratch` is working memory.
  /// Throws what Dataset::decode throws.
  void train(const Dataset& dataset, std::int64_t sample, std::span<const std::uint8_t> bytes, CounterRng rng,
             Image& scratch, std::span<float> out) const;

  /// What train() does up to the flip, rounded to 8 bits, and after that what only a CPU does: RandAugment and, before
  /// it, jitter. Returns what is left of the same random choices: augmented_pixel() of `out` and the result is what
  /// train() makes; its bits, but that train() rounds the pixels of resized images only where jitter or RandAugment
  /// follow. `out`: [size, size, 3].
  Crop train_pixels(const Dataset& dataset, std::int64_t sample, std::span<const std::uint8_t> bytes, CounterRng rng,
                    Image& scratch, std::span<std::uint8_t> out) const;

  /// What train() chooses for a sample of fixed size: augmented_pixel() of it with normalised() are the same bits. For
  /// augmentations without RandAugment.
  [[nodiscard]] Crop choose_crop(std::int64_t sample, CounterRng rng) const;

  [[nodiscard]] bool has_rand_augment() const { return options_.rand_augment.any(); }

  [[nodiscard]] const Normalisation& normalisation() const { return normalisation_; }

  /// What becomes of each value 0 .. 255 of each channel: [3, 256].
  [[nodiscard]] std::span<const float> normalised() const { return normalised_; }

  /// Evaluation. Fixed-size images as they are; others: the shorter side resized to round(size * 256 / 224), the centre
  /// cropped. Normalised.
  void evaluate(const Dataset& dataset, std::int64_t sample, std::span<const std::uint8_t> bytes, Image& scratch,
                std::span<float> out) const;

  /// The same, rounded to 8 bits and not normalised. `out`: [size, size, 3].
  void evaluate_pixels(const Dataset& dataset, std::int64_t sample, std::span<const std::uint8_t> bytes, Image& scratch,
                       std::span<std::uint8_t> out) const;

 private:
  /// How the pixels of a decoded image that is not of fixed size become the result's.
  struct Placement {
    ResizeAxis across, down;
    bool flip = false;
  };

  [[nodiscard]] bool alters_pixels() const { return options_.jitter.any() || options_.rand_augment.any(); }
  [[nodiscard]] Placement decode_crop(const Dataset& dataset, std::int64_t sample, std::span<const std::uint8_t> bytes,
                                      CounterRng& rng, Image& scratch) const;
  [[nodiscard]] Placement decode_centre(const Dataset& dataset, std::int64_t sample,
                                        std::span<const std::uint8_t> bytes, Image& scratch) const;
  void choose_place(CounterRng& rng, Crop& crop) const;
  void choose_hole(CounterRng& rng, Crop& crop) const;
  void choose_lighting(CounterRng& rng, Crop& crop) const;
  void copy_shifted(const Image& image, const Crop& crop, std::span<float> out) const;
  void light_and_cut_out(const Crop& crop, std::span<float> out) const;

  ImageGeometry geometry_;
  Normalisation normalisation_;
  AugmentOptions options_;
  ChannelScale scale_{};
  std::array<float, std::size_t{3} * 256> normalised_{};  // a look-up is exact and as fast as the arithmetic
};

}  // namespace flowdarts
