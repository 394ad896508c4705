#pragma once
// Data sets small enough to live in memory as uint8.

#include <algorithm>
#include <flowdarts/stages/load/dataset.hpp>
#include <functional>

namespace flowdarts {

/// Images of one size, back to back. `Expand` turns the stored bytes of one image into RGB (HWC) pixels.
class MemoryDataset final : public Dataset {
 public:
  using Expand = void (*)(const std::uint8_t* stored, Image& out);

  MemoryDataset(Facts facts, std::vector<std::uint8_t> stored, std::size_t bytes_per_image, Expand expand)
      : Dataset(std::move(facts)), stored_(std::move(stored)), bytes_per_image_(bytes_per_image), expand_(expand) {}

  using Dataset::decode;
  using Dataset::Facts;

  [[nodiscard]] bool in_memory() const override { return true; }
  [[nodiscard]] std::vector<std::uint8_t> read(std::int64_t) const override { return {}; }
  void decode(std::int64_t i, std::span<const std::uint8_t>, const ChooseRegion& choose, Image& out) const override {
    const int size = geometry().size;
    choose(size, size);
    out = {size, size, 0, 0, 1, std::move(out.pixels)};
    out.pixels.resize(std::size_t{3} * static_cast<std::size_t>(size * size));
    expand_(stored_.data() + static_cast<std::size_t>(i) * bytes_per_image_, out);
  }

 private:
  std::vector<std::uint8_t> stored_;
  std::size_t bytes_per_image_;
  Expand expand_;
};

}  // namespace flowdarts
