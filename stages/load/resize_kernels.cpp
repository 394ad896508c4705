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

// Calls step(i) for vectors of `lanes` values that cover `count`; the last one may overlap the one before. False where
// there are fewer values.
template <class Step>
HWY_INLINE bool in_vectors(std::size_t count, std::size_t lanes, const Step& step) {
  if (count < lanes) return false;
  for (std::size_t i = 0; i + lanes <= count; i += lanes) step(i);
  if (count % lanes != 0) step(count - lanes);
  return true;
}

void weigh_rows(const std::uint8_t* rows, std::size_t stride, std::span<const float> weights, std::span<float> sums) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<std::int32_t, decltype(d)> wide;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const std::size_t lanes = hn::Lanes(d), count = sums.size();
  const auto weighed = [&](std::size_t k, std::size_t i) HWY_ATTR {
    const auto values = hn::PromoteTo(wide, hn::LoadU(bytes, rows + k * stride + i));
    return hn::Mul(hn::Set(d, weights[k]), hn::ConvertTo(d, values));
  };
  const bool done = in_vectors(count, 2 * lanes, [&](std::size_t i) HWY_ATTR {
    auto first = hn::Zero(d), second = hn::Zero(d);
    for (std::size_t k = 0; k < weights.size(); ++k) {
      first = hn::Add(first, weighed(k, i));
      second = hn::Add(second, weighed(k, i + lanes));
    }
    hn::StoreU(first, d, sums.data() + i);
    hn::StoreU(second, d, sums.data() + i + lanes);
  });
  if (done) return;
  for (std::size_t i = 0; i < count; ++i) {
    float sum = 0;
    for (std::size_t k = 0; k < weights.size(); ++k) sum += weights[k] * static_cast<float>(rows[k * stride + i]);
    sums[i] = sum;
  }
}

// What lies at as many offsets as D has room for pixels of four floats, side by side.
template <class D>
HWY_INLINE hn::Vec<D> load_pixels(D d, const float* row, const int* offsets) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(d) > 4) {
    const hn::Half<D> half;
    return hn::Combine(d, load_pixels(half, row, offsets + hn::MaxLanes(half) / 4), load_pixels(half, row, offsets));
  }
#endif
  return hn::LoadU(d, row + *offsets);
}

void weigh_pixels(const float* row, std::span<const int> offsets, std::span<const float> weights,
                  std::span<float> pixels) {
  const hn::CappedTag<float, 16> d;
  constexpr std::size_t lanes = hn::MaxLanes(d);
  const std::size_t count = pixels.size(), taps = weights.size() / count;
  for (std::size_t i = 0; i < count; i += 2 * lanes) {
    const auto weighed = [&](std::size_t k, std::size_t at) HWY_ATTR {
      const auto values = load_pixels(d, row + 3 * k + at % 4, offsets.data() + at / 4);
      return hn::Mul(hn::LoadU(d, weights.data() + k * count + at), values);
    };
    auto first = hn::Zero(d), second = hn::Zero(d);
    for (std::size_t k = 0; k < taps; ++k) {
      first = hn::Add(first, weighed(k, i));
      second = hn::Add(second, weighed(k, i + lanes));
    }
    hn::StoreU(first, d, pixels.data() + i);
    hn::StoreU(second, d, pixels.data() + i + lanes);
  }
}

void normalise_pixels(std::span<const float> pixels, std::size_t count, const ChannelScale& scale,
                      const std::array<float*, 3>& planes) {
  const hn::CappedTag<float, 16> d;
  const auto store = [&](std::size_t i, std::size_t c, hn::Vec<decltype(d)> values) HWY_ATTR {
    hn::StoreU(hn::Add(hn::Mul(values, hn::Set(d, scale.scale[c])), hn::Set(d, scale.bias[c])), d, planes[c] + i);
  };
  const bool done = in_vectors(count, hn::Lanes(d), [&](std::size_t i) HWY_ATTR {
    hn::Vec<decltype(d)> red, green, blue, unused;
    hn::LoadInterleaved4(d, pixels.data() + 4 * i, red, green, blue, unused);
    store(i, 0, red);
    store(i, 1, green);
    store(i, 2, blue);
  });
  if (done) return;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t c = 0; c < 3; ++c) planes[c][i] = pixels[4 * i + c] * scale.scale[c] + scale.bias[c];
  }
}

void round_pixels(std::span<const float> pixels, std::size_t count, std::uint8_t* bytes) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<std::int32_t, decltype(d)> wide;
  const hn::Rebind<std::uint8_t, decltype(d)> narrow;
  const auto zero = hn::Zero(d), most = hn::Set(d, 255.0F), half = hn::Set(d, 0.5F);
  const auto rounded = [&](hn::Vec<decltype(d)> values) HWY_ATTR {
    const auto within = hn::Min(hn::Max(values, zero), most);
    return hn::DemoteTo(narrow, hn::ConvertTo(wide, hn::Add(within, half)));
  };
  const bool done = in_vectors(count, hn::Lanes(d), [&](std::size_t i) HWY_ATTR {
    hn::Vec<decltype(d)> red, green, blue, unused;
    hn::LoadInterleaved4(d, pixels.data() + 4 * i, red, green, blue, unused);
    hn::StoreInterleaved3(rounded(red), rounded(green), rounded(blue), narrow, bytes + 3 * i);
  });
  if (done) return;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      bytes[3 * i + c] = static_cast<std::uint8_t>(std::clamp(pixels[4 * i + c], 0.0F, 255.0F) + 0.5F);
    }
  }
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

HWY_EXPORT(weigh_pixels);

void weigh_pixels(const float* row, std::span<const int> offsets, std::span<const float> weights,
                  std::span<float> pixels) {
  HWY_DYNAMIC_DISPATCH(weigh_pixels)(row, offsets, weights, pixels);
}

HWY_EXPORT(normalise_pixels);

void normalise_pixels(std::span<const float> pixels, std::size_t count, const ChannelScale& scale,
                      const std::array<float*, 3>& planes) {
  HWY_DYNAMIC_DISPATCH(normalise_pixels)(pixels, count, scale, planes);
}

HWY_EXPORT(round_pixels);

void round_pixels(std::span<const float> pixels, std::size_t count, std::uint8_t* bytes) {
  HWY_DYNAMIC_DISPATCH(round_pixels)(pixels, count, bytes);
}

}  // namespace flowdarts
#endif
