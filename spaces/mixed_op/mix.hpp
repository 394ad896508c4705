#pragma once
// Mix: batch norm of every candidate that has one, weighting, and the sum over all candidates of all edges that end in
// one node, as one operator. One pass over memory for the statistics and one to apply and accumulate; backwards one for
// all reductions (dL/dweights among them) and one for the inputs' gradients. It knows nothing of how the weights came
// about, so it serves every relaxation.

#include <flowdarts/spaces/mixed_op/mix_kernels.hpp>
#include <flowdarts/spaces/mixed_op/normalisation.hpp>
#include <flowdarts/spaces/mixed_op/tensors.hpp>

#include <optional>
#include <span>
#include <vector>

namespace flowdarts {

/// An input of a mix: x [B, C, H, W], and its batch norm or null.
struct MixInput {
  torch::Tensor x;
  const BatchNorm* norm = nullptr;
};

/// sum_k weights[k] norm_k(x_k) [B, C, H, W], then ReLU where asked for. weights: [K], or undefined for a sum without
/// weights; an input of weight 0 is read for its statistics alone. CPU, or GPU in a build with FLOWDARTS_CUDA (see
/// mix_on_gpu.hpp); float32, float64 or bfloat16; the statistics, weights and sums are float32 at least. All gradients
/// are computed here, each only where asked for. Throws c10::Error for inputs that do not fit one another.
torch::Tensor mix(std::span<const MixInput> inputs, const torch::Tensor& weights = {}, bool relu = false);

/// norm(x), then ReLU where asked for: a mix of one.
inline torch::Tensor mix_norm(const torch::Tensor& x, const BatchNorm& norm, bool relu = false) {
  const MixInput input{x, &norm};
  return mix(std::span(&input, 1), {}, relu);
}

namespace mixed_op {

/// A term of a mix: `weight` times the channels of x that begin at `first`, normalised where there is a norm.
struct Term {
  torch::Tensor x;
  std::int64_t first = 0;
  double weight = 1;
  std::optional<Normalisation> norm;
};

/// The forward pass over some pixels at a time.
template <class T>
class WeightedSum {
 public:
  WeightedSum(std::span<const Term> terms, std::int64_t channels) : channels_(channels) {
    using A = Compute<T>;
    coefficients_.resize((terms.size() + 1) * static_cast<std::size_t>(channels));
    std::vector<double> shift(static_cast<std::size_t>(channels));
    A* scale = coefficients_.data() + channels;
    for (const Term& term : terms) {
      for (std::int64_t c = 0; c < channels; ++c) {
        double slope = term.weight;
        if (term.norm) {
          slope *= term.norm->gamma[c] * term.norm->inverse_std[c];
          shift[c] += term.weight * term.norm->beta[c] - slope * term.norm->mean[c];
        }
        scale[c] = static_cast<A>(slope);
      }
      terms_.push_back({rows<const T>(term.x, term.first), scale});
      scale += channels;
    }
    std::ranges::transform(shift, coefficients_.begin(), [](double value) { return static_cast<A>(value); });
  }

  /// `more` terms, `gated` ones and their gate, the results: as weighted_sum() takes them.
  void operator()(PixelRange pixels, Rows<T> sum, Rows<T> rectified, std::span<const ScaledTerm<T>> more = {},
                  std::span<const Rows<const T>> gated = {}, Rows<const T> gate = {}) const {
    if (more.empty()) {
      weighted_sum<T>(terms_, coefficients_.data(), gated, gate, pixels, channels_, sum, rectified);
      return;
    }
    std::vector<ScaledTerm<T>> terms = terms_;
    terms.insert(terms.end(), more.begin(), more.end());
    weighted_sum<T>(terms, coefficients_.data(), gated, gate, pixels, channels_, sum, rectified);
  }

 private:
  std::int64_t channels_;
  std::vector<Compute<T>> coefficients_;  // shift, then each term's scale
  std::vector<ScaledTerm<T>> terms_;
};

/// What the first backward pass finds: the channel sums of g, and of g times each (centred) term.
struct Sums {
  std::vector<double> total;
  std::vector<double> dots;  // [terms, channels]
  [[nodiscard]] std::span<const double> dot(std::size_t term) const {
    return std::span(dots).subspan(term * total.size(), total.size());
  }
};

/// g [B, C, H, W], channels-last; gate: undefined, or where g counts (gate > 0).
Sums reduce(const torch::Tensor& g, const torch::Tensor& gate, std::span<const Term* const> terms);

/// Adds to `exchange` what input_gradient() takes of `sums` for those of `terms`, which were reduced to them, whose
/// statistics processes share.
void add_to(Exchange& exchange, std::span<const Term* const> terms, Sums& sums);

/// A mix to be reduced, and what that found.
struct Reduction {
  torch::Tensor g;
  std::vector<const Term*> terms;
  Sums sums = {};
};

/// The same, without gates, of several mixes of one size at once: what their terms share is read from memory once.
void reduce(std::span<Reduction> mixes);

/// What a term's x is compared with, in the type sums are taken in.
template <class T>
std::vector<Compute<T>> centre_of(const Term& term) {
  if (!term.norm) return {};
  std::vector<Compute<T>> centre;
  for (const double value : term.norm->mean) centre.push_back(static_cast<Compute<T>>(value));
  return centre;
}

/// Writes the gradient with respect to one term.
template <class T>
class GradientWriter {
 public:
  explicit GradientWriter(const InputGradient& gradient)
      : channels_(static_cast<std::int64_t>(gradient.a.size())), reads_x_(!gradient.b.empty()) {
    for (const auto* part : {&gradient.a, &gradient.b, &gradient.d}) {
      for (const double value : *part) coefficients_.push_back(static_cast<Compute<T>>(value));
    }
  }

  /// g, with a gate only where gate > 0, and x of the term to dx, which may be x.
  void operator()(Rows<const T> g, Rows<const T> gate, Rows<const T> x, PixelRange pixels, Rows<T> dx) const {
    const Compute<T>* a = coefficients_.data();
    gradient<T>(g, gate, x, a, reads_x_ ? a + channels_ : nullptr, reads_x_ ? a + 2 * channels_ : nullptr, pixels,
                channels_, dx);
  }

 private:
  std::int64_t channels_;
  bool reads_x_;
  std::vector<Compute<T>> coefficients_;  // a, then b and d
};

}  // namespace mixed_op
}  // namespace flowdarts
