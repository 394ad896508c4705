#include <flowdarts/spaces/mixed_op/batch_norm.hpp>

namespace flowdarts {
namespace {

using torch::Tensor;

/// Sums over the pixels of a channel, [C] double.
Tensor channel_sums(const Tensor& x) {
  return x.sum({0, 2, 3}, /*keepdim=*/false, torch::kDouble);
}

/// [C] in front of the pixels of [B, C, H, W].
Tensor a_channel(const Tensor& values) {
  return values.view({1, -1, 1, 1});
}

struct WholeBatch : torch::CustomClassHolder {
  std::shared_ptr<const RankSum> sum;
  double eps = 0;
  Tensor running_mean, running_var;  // to be moved, or undefined
};

/// (x - mean) / sqrt(variance + eps), of x's type; what is small is double. Nothing here waits for a device.
class NormaliseWholeBatch : public torch::autograd::Function<NormaliseWholeBatch> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        const c10::intrusive_ptr<WholeBatch>& batch) {
    const std::int64_t channels = x.size(1);
    const Tensor wide = x.detach().to(torch::kDouble);
    // Sum, sum of squares, number of pixels: processes may have shares of different sizes.
    const Tensor pixels = torch::full({1}, static_cast<double>(x.numel() / channels), wide.options());
    const Tensor sums = torch::cat({channel_sums(wide), channel_sums(wide.square()), pixels});
    batch->sum->add_up(sums);
    const Tensor count = sums[2 * channels];
    const Tensor mean = sums.narrow(0, 0, channels) / count;
    const Tensor squares = (sums.narrow(0, channels, channels) - count * mean.square()).clamp_min(0);
    const Tensor inverse_std = (squares / count + batch->eps).rsqrt();
    const auto move = [](Tensor& running, const Tensor& now) {
      if (running.defined()) running.mul_(1.0 - BatchNorm::momentum).add_(now, BatchNorm::momentum);
    };
    move(batch->running_mean, mean);
    move(batch->running_var, squares / (count - 1.0));
    Tensor normalised = ((wide - a_channel(mean)) * a_channel(inverse_std)).to(x.scalar_type());
    context->save_for_backward({normalised, inverse_std, count});
    context->saved_data["batch"] = torch::IValue::make_capsule(batch);
    return normalised;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    TORCH_CHECK(!torch::GradMode::is_enabled(),
                "a batch norm with the statistics of several processes: its gradient is not differentiable");
    const auto saved = context->get_saved_variables();
    const Tensor normalised = saved[0].to(torch::kDouble), inverse_std = saved[1], count = saved[2];
    const auto batch = c10::static_intrusive_pointer_cast<WholeBatch>(context->saved_data["batch"].toCapsule());
    const Tensor g = outputs[0].to(torch::kDouble);
    const std::int64_t channels = g.size(1);
    const Tensor sums = torch::cat({channel_sums(g), channel_sums(g * normalised)});
    batch->sum->add_up(sums);
    const Tensor means = sums / count;
    const Tensor dx =
        (g - a_channel(means.narrow(0, 0, channels)) - normalised * a_channel(means.narrow(0, channels, channels))) *
        a_channel(inverse_std);
    return {dx.to(saved[0].scalar_type()), Tensor()};
  }
};

}  // namespace

Tensor BatchNorm::forward_of_whole_batch(const Tensor& x, const std::shared_ptr<const RankSum>& sum) const {
  auto batch = c10::make_intrusive<WholeBatch>();
  batch->sum = sum;
  batch->eps = eps_;
  if (updates_statistics()) {
    batch->running_mean = running_mean_;
    batch->running_var = running_var_;
  }
  Tensor y = NormaliseWholeBatch::apply(x, batch);
  if (weight_.defined()) y = (y * a_channel(weight_) + a_channel(bias_)).to(x.scalar_type());
  return y;
}

}  // namespace flowdarts
