#pragma once
// Partial channels (Xu et al., "PC-DARTS", ICLR 2020, section 3.1): the first C / K channels of a node go through the
// candidate ops, the others pass by, and behind them the channels are shuffled so that other ones come first.

#include <cstdint>
#include <flowdarts/spaces/mixed_op/rows.hpp>

namespace flowdarts::mixed_op {

/// parts [pixels, channels]: K groups of channels, the mixed one first. Writes them to x channel by channel of all
/// groups in turn, and the first channels / K of x once more to `first`.
template <class T>
void shuffle_channels(Rows<const T> parts, PixelRange pixels, std::int64_t channels, std::int64_t groups, Rows<T> x,
                      Rows<T> first) {
  const std::int64_t size = channels / groups;
  for (std::int64_t pixel = pixels.begin; pixel < pixels.end; ++pixel) {
    const T* from = parts.from(pixel).data;
    T* to = x.from(pixel).data;
    for (std::int64_t c = 0; c < size; ++c) {
      for (std::int64_t group = 0; group < groups; ++group) *to++ = from[group * size + c];
    }
    const T* mixed = x.from(pixel).data;
    T* copy = first.from(pixel).data;
    for (std::int64_t c = 0; c < size; ++c) copy[c] = mixed[c];
  }
}

/// The way back: from x [pixels, channels] to `mixed`, the first group, and `bypass`, the others.
template <class T>
void unshuffle_channels(Rows<const T> x, PixelRange pixels, std::int64_t channels, std::int64_t groups, Rows<T> mixed,
                        Rows<T> bypass) {
  const std::int64_t size = channels / groups;
  for (std::int64_t pixel = pixels.begin; pixel < pixels.end; ++pixel) {
    const T* from = x.from(pixel).data;
    T* first = mixed.from(pixel).data;
    T* others = bypass.from(pixel).data;
    for (std::int64_t c = 0; c < size; ++c, from += groups) {
      first[c] = from[0];
      for (std::int64_t group = 1; group < groups; ++group) others[(group - 1) * size + c] = from[group];
    }
  }
}

}  // namespace flowdarts::mixed_op
