#pragma once
// What 1x1 convolutions of a mixed op come down to, on a CPU. Such a convolution is linear at each pixel, so its output
// need not be kept: its statistics follow from its input's covariance, what it adds to a node from products with
// weights that its batch norm is part of, and its gradients from the products of the node's gradient with the input.
// Activations of type T: float, double or Bf16; everything else in Compute<T>.

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstdint>
#include <span>

namespace flowdarts::mixed_op {

/// Numbers that each of the calls below needs room for; `terms`: of pointwise_sum(), else 1.
std::int64_t pointwise_scratch(std::int64_t channels, std::int64_t terms);

/// x, or max(x, 0).
template <class T>
struct PointwiseTerm {
  Rows<const T> x;
  bool relu;
};

/// out [pixels, C] = shift [C] + the terms times their matrices [terms, C, C] (the channel of x first).
template <class T>
void pointwise_sum(std::span<const PointwiseTerm<T>> terms, const Compute<T>* matrices, const Compute<T>* shift,
                   PixelRange pixels, std::int64_t channels, T* out, Compute<T>* scratch);

/// Of max(x, 0): mean [C], and products [C, C], the sums of products of the channels' deviations from it.
template <class T>
void covariance(Rows<const T> x, PixelRange pixels, std::int64_t channels, double* mean, Compute<T>* products,
                Compute<T>* scratch);

/// Adds to products [C, C] the sum of max(x, 0) g', the channel of x first.
template <class T>
void outer_products(Rows<const T> x, Rows<const T> g, PixelRange pixels, std::int64_t channels, Compute<T>* products,
                    Compute<T>* scratch);

}  // namespace flowdarts::mixed_op
