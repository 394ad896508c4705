// Loads, stores and loops the vector kernels share, once for each instruction set (Google Highway). Included by kernel
// sources after <hwy/highway.h>, so it has no ordinary include guard.

#if defined(FLOWDARTS_MIXED_OP_VECTOR_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef FLOWDARTS_MIXED_OP_VECTOR_INL
#undef FLOWDARTS_MIXED_OP_VECTOR_INL
#else
#define FLOWDARTS_MIXED_OP_VECTOR_INL
#endif

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace flowdarts::mixed_op::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> load(D d, const hn::TFromD<D>* from) {
  return hn::LoadU(d, from);
}

template <class D>
HWY_INLINE hn::Vec<D> load(D d, const Bf16* from) {
  const hn::Rebind<std::uint16_t, D> bits16;
  const hn::Rebind<std::uint32_t, D> bits32;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(bits32, hn::LoadU(bits16, &from->bits))));
}

template <class D>
HWY_INLINE void store(hn::Vec<D> value, D d, hn::TFromD<D>* to) {
  hn::StoreU(value, d, to);
}

template <class D>
HWY_INLINE void store(hn::Vec<D> value, D /* d */, Bf16* to) {
  const hn::Rebind<std::uint16_t, D> bits16;
  const hn::Rebind<std::uint32_t, D> bits32;
  const auto bits = hn::BitCast(bits32, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(bits32, 1));
  auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(bits32, 0x7FFF)), odd));
  // Rounding would carry some NaNs over into -0.
  rounded = hn::IfThenElse(hn::RebindMask(bits32, hn::IsNaN(value)), hn::Set(bits32, 0x7FC0), rounded);
  hn::StoreU(hn::DemoteTo(bits16, hn::BitCast(hn::RebindToSigned<decltype(bits32)>(), rounded)), bits16, &to->bits);
}

/// max(value, 0); lets NaN through.
template <class V>
HWY_INLINE V rectified(V value) {
  return hn::IfThenZeroElse(hn::Le(value, hn::Zero(hn::DFromV<V>())), value);
}

/// Calls f(tag, c) for blocks of channels that cover [0, channels): whole vectors first, then halves, down to one lane.
template <class T, std::size_t kLanes = HWY_LANES(T), class F>
HWY_INLINE void for_channel_blocks(std::int64_t channels, const F& f, std::int64_t c = 0) {
  const hn::CappedTag<T, kLanes> tag;
  constexpr auto step = static_cast<std::int64_t>(kLanes);
  for (; c + step <= channels; c += step) f(tag, c);
  if constexpr (kLanes > 1) {
    if (c < channels) for_channel_blocks<T, kLanes / 2>(channels, f, c);
  }
}

}  // namespace flowdarts::mixed_op::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
