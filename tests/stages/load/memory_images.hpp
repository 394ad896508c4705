#pragma once
// A data set in memory for tests.

#include <cstring>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/memory_dataset.hpp>
#include <memory>
#include <string>

namespace flowdarts::testing {

/// `samples` square images of random bytes in three classes.
inline std::shared_ptr<const Dataset> random_images(std::int64_t samples, int size) {
  MemoryDataset::Facts facts;
  facts.name = "random";
  facts.class_names = {"a", "b", "c"};
  for (std::int64_t i = 0; i < samples; ++i) facts.labels.push_back(static_cast<std::int32_t>(i % 3));
  facts.geometry = {size, true};
  facts.normalisation = {{0.5F, 0.4F, 0.3F}, {0.2F, 0.25F, 0.5F}};
  const auto bytes = std::size_t{3} * static_cast<std::size_t>(size * size);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(samples) * bytes);
  CounterRng rng(9, Stream::noise);
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(rng());
  return std::make_shared<MemoryDataset>(
      std::move(facts), std::move(pixels), bytes,
      [](const std::uint8_t* stored, Image& out) { std::memcpy(out.pixels.data(), stored, out.pixels.size()); });
}

}  // namespace flowdarts::testing
