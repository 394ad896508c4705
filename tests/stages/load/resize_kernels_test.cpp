#include <gtest/gtest.h>

#include <hwy/highway.h>

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

}  // namespace
}  // namespace flowdarts
