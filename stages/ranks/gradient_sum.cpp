#include <cstddef>
#include <flowdarts/stages/ranks/gradient_sum.hpp>
#include <utility>

namespace flowdarts {
namespace {

struct Bucket {
  torch::Tensor values;     // flat
  std::size_t missing = 0;  // gradients that are not in it yet
};

/// The buckets of one backward pass.
class Buckets {
 public:
  Buckets(const std::vector<torch::Tensor>& inputs, std::int64_t bucket_bytes, SumBeside& sum)
      : sum_(sum), places_(inputs.size()), there_(inputs.size(), false) {
    // Which input begins a bucket, going backwards through them.
    for (std::size_t last = inputs.size(); last > 0;) {
      std::size_t first = last;
      std::int64_t elements = 0;
      const torch::TensorOptions options = inputs[last - 1].options().requires_grad(false);
      const auto element = static_cast<std::int64_t>(inputs[last - 1].element_size());
      while (first > 0 && inputs[first - 1].scalar_type() == inputs[last - 1].scalar_type() &&
             (first == last || elements * element < bucket_bytes)) {
        elements += inputs[--first].numel();
      }
      const torch::Tensor values = torch::empty({elements}, options);
      std::int64_t offset = 0;
      for (std::size_t i = first; i < last; ++i) {
        // Of the input's own layout, as the optimisers read it.
        places_[i] = {
            buckets_.size(),
            values.narrow(0, offset, inputs[i].numel()).as_strided(inputs[i].sizes(), inputs[i].strides(), offset)};
        offset += inputs[i].numel();
      }
      buckets_.push_back({values, last - first});
      last = first;
    }
  }

  /// An undefined gradient is 0. Only the first of an input counts.
  void take(std::size_t input, const torch::Tensor& gradient) {
    if (there_[input]) return;
    there_[input] = true;
    const torch::NoGradGuard no_grad;
    auto& [bucket, place] = places_[input];
    if (gradient.defined()) {
      place.copy_(gradient);
    } else {
      place.zero_();
    }
    --buckets_[bucket].missing;
    // In their order, which is the same in all ranks.
    for (; next_ < buckets_.size() && buckets_[next_].missing == 0; ++next_) sum_.start(buckets_[next_].values);
  }

  [[nodiscard]] std::vector<torch::Tensor> gradients() const {
    std::vector<torch::Tensor> all;
    for (const auto& [bucket, place] : places_) all.push_back(place);
    return all;
  }

 private:
  SumBeside& sum_;
  std::vector<Bucket> buckets_;
  std::vector<std::pair<std::size_t, torch::Tensor>> places_;
  std::vector<bool> there_;
  std::size_t next_ = 0;  // bucket to be started
};

/// Sees the gradients of tensors while it lives.
class GradientHooks {
 public:
  GradientHooks(const std::vector<torch::Tensor>& inputs, Buckets& buckets) : inputs_(inputs) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      hooks_.push_back(
          inputs[i].register_hook([&buckets, i](const torch::Tensor& gradient) { buckets.take(i, gradient); }));
    }
  }
  GradientHooks(const GradientHooks&) = delete;
  GradientHooks& operator=(const GradientHooks&) = delete;
  ~GradientHooks() {
    for (std::size_t i = 0; i < hooks_.size(); ++i) inputs_[i].remove_hook(hooks_[i]);
  }

 private:
  const std::vector<torch::Tensor>& inputs_;
  std::vector<unsigned> hooks_;
};

}  // namespace

GradientSum::GradientSum(std::unique_ptr<SumBeside> sum, std::int64_t bucket_bytes)
    : sum_(std::move(sum)), bucket_bytes_(bucket_bytes) {}

std::vector<torch::Tensor> GradientSum::operator()(const torch::Tensor& loss, const std::vector<torch::Tensor>& inputs,
                                                   double share) const {
  Buckets buckets(inputs, bucket_bytes_, *sum_);
  {
    const GradientHooks hooks(inputs, buckets);
    // The share goes in where the backward pass begins: shared batch statistics add up the processes' gradients on the
    // way.
    const std::vector<torch::Tensor> gradients =
        torch::autograd::grad({loss}, inputs, {torch::full_like(loss, share)}, /*retain_graph=*/false,
                              /*create_graph=*/false, /*allow_unused=*/true);
    // What the loss does not depend on has met no hook.
    for (std::size_t i = inputs.size(); i-- > 0;) buckets.take(i, gradients[i]);
  }
  sum_->wait();
  return buckets.gradients();
}

}  // namespace flowdarts
