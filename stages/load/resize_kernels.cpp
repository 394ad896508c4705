#include <algorithm>
#include <flowdarts/stages/load/resize_kernels.hpp>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/stages/load/resize_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace flowdarts::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void weigh_rows(const std::uint8_t* rows, std::size_t stride, std::span<const float> weights, std::span<float> sums) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<std::int32_t, decltype(d)> wide;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const std::size_t lanes = hn::Lanes(d), count = sums.size();
  const auto weighed = [&](std::size_t k, std::size_t i) HWY_ATTR {
    const auto values = hn::PromoteTo(wide, hn::LoadU(bytes, rows + k * stride + i));
    return hn::Mul(hn::Set(d, weights[k]), hn::ConvertTo(d, values));
  };
  std::size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    auto first = hn::Zero(d), second = hn::Zero(d);
    for (std::size_t k = 0; k < weights.size(); ++k) {
      first = hn::Add(first, weighed(k, i));
      second = hn::Add(second, weighed(k, i + lanes));
    }
    hn::StoreU(first, d, sums.data() + i);
    hn::StoreU(second, d, sums.data() + i + lanes);
  }
  for (; i < count; ++i) {
    float sum = 0;
    for (std::size_t k = 0; k < weights.size(); ++k) sum += weights[k] * static_cast<float>(rows[k * stride + i]);
    sums[i] = sum;
  }
}

void round_to_bytes(std::span<const float> values, std::uint8_t* bytes) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<std::int32_t, decltype(d)> wide;
  const hn::Rebind<std::uint8_t, decltype(d)> narrow;
  const auto zero = hn::Zero(d), most = hn::Set(d, 255.0F), half = hn::Set(d, 0.5F);
  const std::size_t lanes = hn::Lanes(d), count = values.size();
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::Min(hn::Max(hn::LoadU(d, values.data() + i), zero), most);
    hn::StoreU(hn::DemoteTo(narrow, hn::ConvertTo(wide, hn::Add(value, half))), narrow, bytes + i);
  }
  for (; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(std::clamp(values[i], 0.0F, 255.0F) + 0.5F);
}

}  // namespace
}  // namespace flowdarts::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowdarts {

HWY_EXPORT(weigh_rows);

void weigh_rows(const std::uint8_t* rows, std::size_t stride, std::span<const float> weights, std::span<float> sums) {
  HWY_DYNAMIC_DISPATCH(weigh_rows)(rows, stride, weights, sums);
}

HWY_EXPORT(round_to_bytes);

void round_to_bytes(std::span<const float> values, std::uint8_t* bytes) {
  HWY_DYNAMIC_DISPATCH(round_to_bytes)(values, bytes);
}

}  // namespace flowdarts
#endif
