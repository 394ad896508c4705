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

TEST(RoundToBytes, RoundsAndCutsOffOnEveryInstructionSet) {
  const Targets restore;
  const std::int64_t targets = hwy::SupportedTargets();
  std::vector<float> values{-1e9F, -0.6F, -0.0F, 0.49F, 0.5F, 1.49F, 254.49F, 254.5F, 255.4F, 255.6F, 1e9F};
  std::vector<std::uint8_t> expected{0, 0, 0, 0, 1, 1, 254, 255, 255, 255, 255};
  for (int value = 0; value < 256; ++value) {
    values.push_back(static_cast<float>(value) + 0.25F);
    expected.push_back(static_cast<std::uint8_t>(value));
  }
  for (std::int64_t left = targets; left != 0; left &= left - 1) {
    Targets::use(left & -left);
    for (std::size_t count = 1; count <= values.size(); ++count) {
      std::vector<std::uint8_t> bytes(count + 1, 77);
      round_to_bytes(std::span(values).first(count), bytes.data());
      ASSERT_TRUE(std::equal(bytes.begin(), bytes.end() - 1, expected.begin()))
          << hwy::TargetName(left & -left) << ", " << count;
      ASSERT_EQ(bytes.back(), 77);
    }
  }
}

}  // namespace
}  // namespace flowdarts
