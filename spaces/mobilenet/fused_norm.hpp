#pragma once
// This space's batch norm with the clamp behind it (ReLU6) as one operator, and the parts that the fused layer is made
// of. CPU, but for norm_clamp(), which takes a GPU's tensors, too; float32, float64 or bfloat16, with statistics and
// sums in float32 at least.

#include <algorithm>
#include <cstdint>
#include <flowdarts/spaces/mixed_op/clamp_kernels.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mobilenet/ops.hpp>
#include <vector>

namespace flowdarts::mobilenet {

/// clamp(norm(x)) of x [B, C, H, W], in channels-last memory. Differentiable once, in x and the norm's weight and bias.
/// The same bits for any number of threads. Throws c10::Error for another shape, type or device, and for batch
/// statistics of a single value.
torch::Tensor norm_clamp(const torch::Tensor& x, const Norm& norm, mixed_op::Clamp clamp = {});

/// A norm, and the moments of what it reads where its pass uses them.
struct NormInput {
  const Norm* norm;
  mixed_op::Moments batch;
};

/// `norm` reads the channels of x, channels-last, from `first` on.
NormInput read_input(const Norm& norm, const torch::Tensor& x, std::int64_t first = 0);

/// The passes of norms, one an input; one message for all where processes share the statistics. Throws c10::Error for
/// batch statistics of a single value.
std::vector<mixed_op::Normalisation> normalise(std::vector<NormInput> inputs);

/// A norm's pass and the clamp behind it, over some pixels at a time.
template <class T>
class NormClamp {
 public:
  NormClamp(const mixed_op::Normalisation& norm, mixed_op::Clamp clamp) : clamp_(clamp) {
    using A = mixed_op::Compute<T>;
    for (std::size_t c = 0; c < norm.mean.size(); ++c) {
      const double slope = norm.gamma[c] * norm.inverse_std[c];
      scale_.push_back(static_cast<A>(slope));
      shift_.push_back(static_cast<A>(norm.beta[c] - slope * norm.mean[c]));
      centre_.push_back(static_cast<A>(norm.mean[c]));
      rounding_.push_back(centre_.back() - norm.mean[c]);
    }
  }

  [[nodiscard]] std::int64_t channels() const { return static_cast<std::int64_t>(scale_.size()); }

  void operator()(mixed_op::Rows<const T> x, mixed_op::PixelRange pixels, mixed_op::Rows<T> out) const {
    mixed_op::scale_clamp<T>(x, scale_.data(), shift_.data(), clamp_, pixels, channels(), out);
  }

  /// What the clamp lets through of g. Adds its channel sums to total [channels], those of its product with x less its
  /// mean to dot [channels].
  void pass(mixed_op::Rows<const T> g, mixed_op::Rows<const T> x, mixed_op::PixelRange pixels, mixed_op::Rows<T> passed,
            double* total, double* dot) const {
    std::vector<double> sums(2 * scale_.size());
    double* products = sums.data() + scale_.size();
    mixed_op::clamp_dots<T>(g, x, scale_.data(), shift_.data(), centre_.data(), clamp_, pixels, channels(), passed,
                            sums.data(), products);
    for (std::size_t c = 0; c < scale_.size(); ++c) {
      total[c] += sums[c];
      dot[c] += products[c] + rounding_[c] * sums[c];
    }
  }

 private:
  mixed_op::Clamp clamp_;
  std::vector<mixed_op::Compute<T>> scale_, shift_, centre_;
  std::vector<double> rounding_;  // what the centre is above the mean
};

/// Sums that parts of the work make by themselves and that are added in the parts' order: the same bits for any number
/// of threads.
class PartSums {
 public:
  PartSums(std::int64_t parts, std::int64_t width)
      : width_(static_cast<std::size_t>(width)), sums_(static_cast<std::size_t>(parts) * width_) {}

  double* operator[](std::int64_t part) { return sums_.data() + static_cast<std::size_t>(part) * width_; }

  [[nodiscard]] std::vector<double> total() const {
    std::vector<double> all(width_);
    for (std::size_t i = 0; i < sums_.size(); ++i) all[i % width_] += sums_[i];
    return all;
  }

 private:
  std::size_t width_;
  std::vector<double> sums_;
};

/// out = clamp(norm(x)), all of it.
torch::Tensor apply_norm(const mixed_op::Normalisation& norm, mixed_op::Clamp clamp, const torch::Tensor& x);

/// Makes dL/d(norm(x)) of g = dL/d(clamp(norm(x))), in g's place; returns its sums, with the one term x.
mixed_op::Sums clamp_backward(const mixed_op::Normalisation& norm, mixed_op::Clamp clamp, const torch::Tensor& x,
                              const torch::Tensor& g);

/// Makes dL/dx of g = dL/d(norm(x)), in g's place; sums: g's, over the whole batch.
void norm_backward(const mixed_op::Normalisation& norm, const mixed_op::Sums& sums, const torch::Tensor& x,
                   const torch::Tensor& g);

/// Adds the sums to `exchange` where processes share the norm's statistics.
void add_to(mixed_op::Exchange& exchange, const mixed_op::Normalisation& norm, mixed_op::Sums& sums);

}  // namespace flowdarts::mobilenet
