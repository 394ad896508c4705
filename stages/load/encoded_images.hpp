#pragma once
// What data sets of JPEG and PNG images share, wherever their bytes come from.

#include <cstdint>
#include <flowdarts/stages/load/dataset.hpp>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace flowdarts {

inline constexpr Normalisation imagenet_normalisation{{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}};

/// decode_image() for an image of a set with this geometry: where sizes are fixed, another size throws InputError.
void decode_image_of(const ImageGeometry& geometry, std::span<const std::uint8_t> bytes, const std::string& name,
                     const ChooseRegion& choose, Image& out);

/// The geometry that the first of `images` images says, or config.image_size where that is given: fixed where the image
/// is square with at most 64 pixels. `decode_whole(i, out)` throws InputError where an image is broken: thrown on, or
/// with config.skip_corrupt the next image is asked. Throws InputError where none can be decoded.
[[nodiscard]] ImageGeometry find_geometry(std::int64_t images, const DatasetConfig& config,
                                          const std::function<void(std::int64_t i, Image& out)>& decode_whole);

}  // namespace flowdarts
