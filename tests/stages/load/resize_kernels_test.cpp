#include <gtest/gtest.h>

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/resize_kernels.hpp>
#include <vector>

namespace flowdarts {
namespace {

class Targets {
 public:
  ~Targets() { hwy::SetSupportedTargetsForTest(0); }
  static void use(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
  }
};

// Against the sum as it is written, on every instruction set that this CPU has: no bit may differ.
TEST(WeighRows, MakesTheSameBitsOnEveryInstructionSet) {
  CounterRng rng(3, Stream::noise);
  const Targets restore;
  const std::int64_t targets = hwy::SupportedTargets();
  for (const std::size_t count : {1, 15, 31, 32, 64, 201}) {
    for (const std::size_t taps : {1, 2, 7}) {
      std::vector<std::uint8_t> rows(taps * count);
      for (std::uint8_t& value : rows) value = static_cast<std::uint8_t>(rng());
      std::vector<float> weights(taps), expected(count, 0.0F);
      for (float& weight : weights) weight = static_cast<float>(rng.uniform());
      for (std::size_t k = 0; k < taps; ++k) {
        for (std::size_t i = 0; i < count; ++i) expected[i] += weights[k] * static_cast<float>(rows[k * count + i]);
      }
      for (std::int64_t left = targets; left != 0; left &= left - 1) {
        Targets::use(left & -left);
        std::vector<float> sums(count, -1.0F);
        weigh_rows(rows.data(), count, weights, sums);
        EXPECT_EQ(sums, expected) << hwy::TargetName(left & -left) << ", " << count << " values of " << taps << " rows";
      }
    }
  }
}

// The same for pixels of a row, whose last taps may have the weight 0.
TEST(WeighPixels, MakesTheSameBitsOnEveryInstructionSet) {
  CounterRng rng(4, Stream::noise);
  const Targets restore;
  const std::int64_t targets = hwy::SupportedTargets();
  for (const std::size_t count : {8, 16, 24, 56}) {
    for (const std::size_t taps : {1, 2, 5}) {
      constexpr std::size_t row_pixels = 40;
      std::vector<float> row(3 * row_pixels + 1), weights(taps * count * 4);
      for (float& value : row) value = static_cast<float>(rng.uniform(0.0, 255.0));
      std::vector<int> offsets(count);
      for (int& offset : offsets) offset = 3 * static_cast<int>(rng.below(row_pixels - taps + 1));
      std::vector<float> expected(count * 4, 0.0F);
      for (std::size_t k = 0; k < taps; ++k) {
        for (std::size_t x = 0; x < count; ++x) {
          const auto weight = static_cast<float>(rng.uniform());
          for (std::size_t c = 0; c < 4; ++c) {
            weights[(k * count + x) * 4 + c] = weight;
            expected[x * 4 + c] += weight * row[static_cast<std::size_t>(offsets[x]) + 3 * k + c];
          }
        }
      }
      for (std::int64_t left = targets; left != 0; left &= left - 1) {
        Targets::use(left & -left);
        std::vector<float> pixels(count * 4, -1.0F);
        weigh_pixels(row.data(), offsets, weights, pixels);
        EXPECT_EQ(pixels, expected) << hwy::TargetName(left & -left) << ", " << count << " pixels, " << taps << " taps";
      }
    }
  }
}

TEST(NormalisePixels, MakesTheSameBitsOnEveryInstructionSet) {
  CounterRng rng(5, Stream::noise);
  const Targets restore;
  const std::int64_t targets = hwy::SupportedTargets();
  const ChannelScale scale{{0.0171F, 0.0175F, 0.0174F}, {-2.118F, -2.036F, -1.804F}};
  std::vector<float> pixels(4 * 70);
  for (float& value : pixels) value = static_cast<float>(rng.uniform(-20.0, 275.0));
  for (std::int64_t left = targets; left != 0; left &= left - 1) {
    Targets::use(left & -left);
    for (std::size_t count = 1; count <= 70; ++count) {
      std::vector<std::vector<float>> planes(3, std::vector<float>(count + 1, 77.0F));
      normalise_pixels(pixels, count, scale, {planes[0].data(), planes[1].data(), planes[2].data()});
      for (std::size_t c = 0; c < 3; ++c) {
        for (std::size_t i = 0; i < count; ++i) {
          ASSERT_EQ(planes[c][i], pixels[4 * i + c] * scale.scale[c] + scale.bias[c])
              << hwy::TargetName(left & -left) << ", pixel " << i << " of " << count;
        }
        ASSERT_EQ(planes[c][count], 77.0F);
      }
    }
  }
}

TEST(RoundPixels, RoundsAndCutsOffOnEveryInstructionSet) {
  const Targets restore;
  const std::int64_t targets = hwy::SupportedTargets();
  std::vector<float> values{-1e9F, -0.6F, -0.0F, 0.49F, 0.5F, 1.49F, 254.49F, 254.5F, 255.4F, 255.6F, 1e9F};
  std::vector<std::uint8_t> expected{0, 0, 0, 0, 1, 1, 254, 255, 255, 255, 255};
  for (int value = 0; value < 256; ++value) {
    values.push_back(static_cast<float>(value) + 0.25F);
    expected.push_back(static_cast<std::uint8_t>(value));
  }
  const std::size_t most = values.size() / 3;
  std::vector<float> pixels;
  for (std::size_t i = 0; i < most; ++i) {
    pixels.insert(pixels.end(), values.begin() + static_cast<std::ptrdiff_t>(3 * i),
                  values.begin() + static_cast<std::ptrdiff_t>(3 * i + 3));
    pixels.push_back(1e30F);
  }
  for (std::int64_t left = targets; left != 0; left &= left - 1) {
    Targets::use(left & -left);
    for (std::size_t count = 1; count <= most; ++count) {
      std::vector<std::uint8_t> bytes(3 * count + 1, 77);
      round_pixels(pixels, count, bytes.data());
      ASSERT_TRUE(std::equal(bytes.begin(), bytes.end() - 1, expected.begin()))
          << hwy::TargetName(left & -left) << ", " << count;
      ASSERT_EQ(bytes.back(), 77);
    }
  }
}

}  // namespace
}  // namespace flowdarts
