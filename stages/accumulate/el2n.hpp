#pragma once
// The error of one sample: the number whose fluctuation data pruning ranks.

#include <cmath>
#include <cstddef>
#include <span>

namespace flowdarts {

/// e = || softmax(logits) - onehot(label) ||_2, in [0, sqrt 2]: the EL2N quantity (Paul, Ganguli, Dziugaite: "Deep
/// Learning on a Data Diet", NeurIPS 2021). `logits` holds one sample's [classes] logits, `label` < classes. Computed
/// in double and rounded once: this is what a batched tensor computation of the same quantity has to agree with.
inline float el2n(std::span<const float> logits, std::size_t label) {
  double largest = logits[0];
  for (const double logit : logits) largest = std::fmax(largest, logit);
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit - largest);
  double squares = 0;
  for (std::size_t c = 0; c < logits.size(); ++c) {
    const double difference = std::exp(logits[c] - largest) / sum - (c == label ? 1.0 : 0.0);
    squares += difference * difference;
  }
  return static_cast<float>(std::sqrt(squares));
}

}  // namespace flowdarts
