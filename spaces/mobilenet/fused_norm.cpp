#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mobilenet/fused_norm.hpp>

namespace flowdarts::mobilenet {

using mixed_op::Normalisation;
using mixed_op::Parts;
using mixed_op::PixelRange;
using mixed_op::rows;
using torch::Tensor;

Normalisation normalise(const Norm& norm, const Tensor& x, std::int64_t first) {
  mixed_op::Moments moments;
  if (norm.uses_batch_statistics()) {
    TORCH_CHECK(mixed_op::pixel_count(x) > 1,
                "batch norm: expected more than one value a channel while training, found an input ", x.sizes());
    mixed_op::add_moments(moments, x, first, norm.channels());
  }
  return mixed_op::normalise(norm, moments);
}

Tensor apply_norm(const Normalisation& norm, mixed_op::Clamp clamp, const Tensor& x) {
  Tensor out = mixed_op::empty_channels_last(x);
  mixed_op::with_type(x.scalar_type(), [&]<class T>() {
    const NormClamp<T> pass(norm, clamp);
    Parts(mixed_op::pixel_count(x), x.size(1)).for_each([&](std::int64_t, PixelRange range) {
      pass(rows<const T>(x), range, rows<T>(out));
    });
  });
  return out;
}

mixed_op::TermGradient apply_norm_backward(const Normalisation& norm, mixed_op::Clamp clamp, const Tensor& x,
                                           Tensor& g) {
  const std::int64_t channels = x.size(1);
  const Parts parts(mixed_op::pixel_count(x), channels);
  PartSums totals(parts.count(), channels), dots(parts.count(), channels);
  mixed_op::TermGradient gradient;
  mixed_op::with_type(x.scalar_type(), [&]<class T>() {
    const NormClamp<T> pass(norm, clamp);
    parts.for_each([&](std::int64_t part, PixelRange range) {
      pass.pass(rows<const T>(g), rows<const T>(x), range, rows<T>(g), totals[part], dots[part]);
    });
    const std::vector<double> total = totals.total(), dot = dots.total();
    gradient = mixed_op::term_gradient(norm, 1.0, total, dot);
    const mixed_op::GradientWriter<T> write(mixed_op::input_gradient(norm, 1.0, total, dot));
    parts.for_each(
        [&](std::int64_t, PixelRange range) { write(rows<const T>(g), {}, rows<const T>(x), range, rows<T>(g)); });
  });
  return gradient;
}

namespace {

struct NormState : torch::CustomClassHolder {
  Tensor x;
  Normalisation norm;
  mixed_op::Clamp clamp;
};

class NormClampFunction : public torch::autograd::Function<NormClampFunction> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input, const Tensor& /*weight*/,
                        const Tensor& /*bias*/, const Norm* norm, mixed_op::Clamp clamp) {
    auto state = c10::make_intrusive<NormState>();
    state->x = mixed_op::channels_last(input.detach());
    state->norm = normalise(*norm, state->x);
    state->clamp = clamp;
    Tensor out = apply_norm(state->norm, clamp, state->x);
    context->save_for_backward({input});  // for the check alone that nobody changed it in place
    context->saved_data["state"] = torch::IValue::make_capsule(std::move(state));
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "norm_clamp: its gradient is not differentiable");
    context->get_saved_variables();
    const auto state = c10::static_intrusive_pointer_cast<NormState>(context->saved_data["state"].toCapsule());
    Tensor g = outputs[0].clone(torch::MemoryFormat::ChannelsLast);
    const mixed_op::TermGradient own = apply_norm_backward(state->norm, state->clamp, state->x, g);
    return {g, torch::tensor(own.gamma, torch::kDouble), torch::tensor(own.beta, torch::kDouble), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor norm_clamp(const Tensor& x, const Norm& norm, mixed_op::Clamp clamp) {
  mixed_op::check_activations("norm_clamp", x, /*takes_gpu=*/false);
  TORCH_CHECK(x.size(1) == norm.channels(), "norm_clamp: a batch norm of ", norm.channels(),
              " channels meets an input of ", x.size(1));
  return NormClampFunction::apply(x, norm.weight(), norm.bias(), &norm, clamp);
}

}  // namespace flowdarts::mobilenet
