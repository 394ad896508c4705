#pragma once
// What the importances that are read off the arch steps' gradients share.

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/policies/bilevel/problem.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

/// Such an importance: the mean over the arch steps of the epoch under way, or of the last one, of an absolute value
/// per op. Kept in double on alpha's device, so that no step waits for it.
class GradientImportance {
 public:
  using role = roles::Importance;
  using Options = NoOptions;

  void begin_epoch() {
    sums_.clear();
    steps_ = 0;
  }

  /// A matrix an alpha, larger is better; none in an epoch without arch steps.
  [[nodiscard]] std::vector<torch::Tensor> measured() const {
    std::vector<torch::Tensor> means;
    for (const torch::Tensor& sum : sums_) means.push_back(sum / static_cast<double>(steps_));
    return means;
  }
  [[nodiscard]] std::vector<torch::Tensor> scores(const std::vector<torch::Tensor>& /* op_weights */) const {
    return measured();
  }

  template <class Writer>
  void save(Writer& writer) const {
    writer.put(steps_);
    writer.put(std::uint64_t{sums_.size()});
    for (const torch::Tensor& sum : sums_) {
      const torch::Tensor host = sum.to(torch::kCPU).contiguous();
      writer.put(host.size(1));
      writer.put_vector(
          std::vector<double>(host.const_data_ptr<double>(), host.const_data_ptr<double>() + host.numel()));
    }
  }

  /// On the CPU; the next add() takes the sums to where its values are.
  template <class Reader>
  void load(Reader& reader) {
    steps_ = reader.template get<std::int64_t>();
    sums_.clear();
    for (auto left = reader.template get<std::uint64_t>(); left > 0; --left) {
      const auto columns = reader.template get<std::int64_t>();
      const auto values = reader.template get_vector<double>();
      if (columns < 1 || static_cast<std::int64_t>(values.size()) % columns != 0) {
        reader.fail("found " + std::to_string(values.size()) + " values in rows of " + std::to_string(columns));
      }
      sums_.push_back(torch::tensor(values, torch::kDouble).view({-1, columns}));
    }
  }

 protected:
  /// Adds |values| of one step, a matrix an alpha.
  void add(const std::vector<torch::Tensor>& values) {
    const torch::NoGradGuard no_grad;
    for (std::size_t m = 0; m < values.size(); ++m) {
      const torch::Tensor size = values[m].detach().to(torch::kDouble).abs();
      if (steps_ == 0) {
        sums_.push_back(size.clone());
      } else {
        sums_[m] = sums_[m].to(size.device()).add_(size);
      }
    }
    ++steps_;
  }

 private:
  std::vector<torch::Tensor> sums_;
  std::int64_t steps_ = 0;
};

/// Throws InputError for an edge of two ops: with softmax mixing their alphas' gradients are opposite, so |dL/dalpha|
/// is the same for both.
inline void require_three_candidates(std::int64_t columns) {
  if (columns == 2) {
    throw InputError("operation strength cannot rank two candidates: found edges of " + std::to_string(columns) +
                     " ops, expected more");
  }
}

}  // namespace flowdarts
