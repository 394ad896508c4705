// Products of small matrices, and of pixels with them, once for each instruction set (Google Highway). Included by
// kernel sources after <hwy/highway.h>, so it has no ordinary include guard.

#if defined(FLOWDARTS_MIXED_OP_PRODUCT_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef FLOWDARTS_MIXED_OP_PRODUCT_INL
#undef FLOWDARTS_MIXED_OP_PRODUCT_INL
#else
#define FLOWDARTS_MIXED_OP_PRODUCT_INL
#endif

#include <flowdarts/spaces/mixed_op/vector-inl.hpp>

#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace flowdarts::mixed_op::HWY_NAMESPACE {

/// A left factor, row by row or column by column: element (i, k) at data + i * step + k, or at data + i + k * step.
enum class Lies { by_rows, by_columns };
template <class A, Lies kLies>
struct Left {
  const A* data;
  std::int64_t step;

  [[nodiscard]] HWY_INLINE const A* at(std::int64_t i, std::int64_t k) const {
    return kLies == Lies::by_rows ? data + i * step + k : data + i + k * step;
  }
};
template <class A>
using ByRows = Left<A, Lies::by_rows>;
template <class A>
using ByColumns = Left<A, Lies::by_columns>;

/// A right factor, or a result, whose rows lie `row` elements apart.
template <class A>
struct Right {
  A* data;
  std::int64_t row;
};

// Adds kDepth products to each sum. Several at a time, as there are more rows than registers for their addresses.
template <int kRows, int kVectors, int kDepth, class D, class A, Lies kLies>
HWY_INLINE void add_products(D d, Left<A, kLies> left, std::int64_t k, Right<const A> right,
                             hn::Vec<D> (&sum)[kRows][kVectors]) {
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  hn::Vec<D> r[kDepth][kVectors];
  HWY_UNROLL(4)
  for (int u = 0; u < kDepth; ++u) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) r[u][v] = hn::LoadU(d, right.data + (k + u) * right.row + v * lanes);
  }
  HWY_UNROLL(16)
  for (int i = 0; i < kRows; ++i) {
    HWY_UNROLL(4)
    for (int u = 0; u < kDepth; ++u) {
      const auto l = hn::Set(d, *left.at(i, k + u));
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::MulAdd(l, r[u][v], sum[i][v]);
    }
  }
}

// Sums for kRows x kVectors vectors that stay in registers.
template <int kRows, int kVectors, class D, class A, Lies kLies>
HWY_INLINE void product_block(D d, Left<A, kLies> left, Right<const A> right, std::int64_t depth, Right<A> out,
                              bool add) {
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  constexpr int deep = kVectors <= 2 ? 4 : 2;
  hn::Vec<D> sum[kRows][kVectors];
  HWY_UNROLL(16)
  for (int i = 0; i < kRows; ++i) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      sum[i][v] = add ? hn::LoadU(d, out.data + i * out.row + v * lanes) : hn::Zero(d);
    }
  }
  std::int64_t k = 0;
  for (; k + deep <= depth; k += deep) add_products<kRows, kVectors, deep>(d, left, k, right, sum);
  for (; k < depth; ++k) add_products<kRows, kVectors, 1>(d, left, k, right, sum);
  HWY_UNROLL(16)
  for (int i = 0; i < kRows; ++i) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[i][v], d, out.data + i * out.row + v * lanes);
  }
}

template <int kRows, int kVectors, class D, class A, Lies kLies>
HWY_INLINE void product_columns(D d, std::int64_t rows, Left<A, kLies> left, Right<const A> right, std::int64_t depth,
                                Right<A> out, bool add) {
  for (; rows >= kRows; rows -= kRows) {
    product_block<kRows, kVectors>(d, left, right, depth, out, add);
    left.data = left.at(kRows, 0);
    out.data += kRows * out.row;
  }
  if constexpr (kRows > 1) {
    if (rows > 0) product_columns<kRows / 2, kVectors>(d, rows, left, right, depth, out, add);
  }
}

/// out [rows, columns] = left [rows, depth] right [depth, columns], or added to it.
template <class A, Lies kLies>
HWY_NOINLINE void product(std::int64_t rows, std::int64_t columns, std::int64_t depth, Left<A, kLies> left,
                          std::type_identity_t<Right<const A>> right, std::type_identity_t<Right<A>> out, bool add) {
  const hn::ScalableTag<A> d;
  constexpr auto lanes = static_cast<std::int64_t>(HWY_LANES(A));
  // 32 vector registers hold 24 sums, 16 registers half of them.
  constexpr int many = HWY_MAX_BYTES >= 64 ? 2 : 1;
  std::int64_t c = 0;
  const auto from = [&](std::int64_t column) { return Right<const A>{right.data + column, right.row}; };
  const auto to = [&](std::int64_t column) { return Right<A>{out.data + column, out.row}; };
  for (; columns - c >= 4 * lanes; c += 4 * lanes) {
    product_columns<2 * many, 4>(d, rows, left, from(c), depth, to(c), add);
  }
  switch ((columns - c) / lanes) {
    case 3:
      product_columns<4 * many, 3>(d, rows, left, from(c), depth, to(c), add);
      c += 3 * lanes;
      break;
    case 2:
      product_columns<4 * many, 2>(d, rows, left, from(c), depth, to(c), add);
      c += 2 * lanes;
      break;
    case 1:
      product_columns<8 * many, 1>(d, rows, left, from(c), depth, to(c), add);
      c += lanes;
      break;
    default:
      break;
  }
  if constexpr (HWY_LANES(A) > 1) {
    if (c < columns) {
      for_channel_blocks<A, HWY_LANES(A) / 2>(
          columns,
          [&](auto narrow, std::int64_t column)
              HWY_ATTR { product_columns<8, 1>(narrow, rows, left, from(column), depth, to(column), add); },
          c);
    }
  }
}

/// Pixels of x as a factor of a product: rectified where asked for, less `centre` where that is not null, to rows
/// `step` elements apart.
template <class T, class A>
HWY_INLINE void copy_pixels(Rows<const T> x, std::int64_t count, std::int64_t channels, bool relu, const A* centre,
                            A* HWY_RESTRICT to, std::int64_t step) {
  for_channel_blocks<A>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
    const auto less = centre != nullptr ? hn::LoadU(d, centre + c) : hn::Zero(d);
    for (std::int64_t p = 0; p < count; ++p) {
      const auto value = load(d, x.data + p * x.stride + c);
      hn::StoreU(hn::Sub(relu ? rectified(value) : value, less), d, to + p * step + c);
    }
  });
}

}  // namespace flowdarts::mixed_op::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
