#include <flowdarts/spaces/mobilenet/composed_layer.hpp>
#include <flowdarts/spaces/mobilenet/fused_norm.hpp>

namespace flowdarts::mobilenet {

using mixed_op::Normalisation;
using mixed_op::Parts;
using mixed_op::PixelRange;
using mixed_op::rows;
using torch::Tensor;

NormInput read_input(const Norm& norm, const Tensor& x, std::int64_t first) {
  NormInput input{.norm = &norm, .batch = {}};
  if (norm.uses_batch_statistics()) mixed_op::add_moments(input.batch, x, first, norm.channels());
  return input;
}

std::vector<Normalisation> normalise(std::vector<NormInput> inputs) {
  mixed_op::Exchange exchange;
  for (NormInput& input : inputs) exchange.add(*input.norm, input.batch);
  exchange.run();
  std::vector<Normalisation> passes;
  for (const NormInput& input : inputs) {
    TORCH_CHECK(!input.norm->uses_batch_statistics() || input.batch.count > 1,
                "batch norm: expected more than one value a channel while training, found ", input.batch.count);
    passes.push_back(mixed_op::normalise(*input.norm, input.batch));
  }
  return passes;
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

mixed_op::Sums clamp_backward(const Normalisation& norm, mixed_op::Clamp clamp, const Tensor& x, const Tensor& g) {
  const std::int64_t channels = x.size(1);
  const Parts parts(mixed_op::pixel_count(x), channels);
  PartSums totals(parts.count(), channels), dots(parts.count(), channels);
  mixed_op::with_type(x.scalar_type(), [&]<class T>() {
    const NormClamp<T> pass(norm, clamp);
    parts.for_each([&](std::int64_t part, PixelRange range) {
      pass.pass(rows<const T>(g), rows<const T>(x), range, rows<T>(g), totals[part], dots[part]);
    });
  });
  return {.total = totals.total(), .dots = dots.total()};
}

void norm_backward(const Normalisation& norm, const mixed_op::Sums& sums, const Tensor& x, const Tensor& g) {
  mixed_op::with_type(x.scalar_type(), [&]<class T>() {
    const mixed_op::GradientWriter<T> write(mixed_op::input_gradient(norm, 1.0, sums.total, sums.dots));
    Parts(mixed_op::pixel_count(x), x.size(1)).for_each([&](std::int64_t, PixelRange range) {
      write(rows<const T>(g), {}, rows<const T>(x), range, rows<T>(g));
    });
  });
}

void add_to(mixed_op::Exchange& exchange, const Normalisation& norm, mixed_op::Sums& sums) {
  exchange.add(norm.sum, sums.total);
  exchange.add(norm.sum, sums.dots);
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
    state->norm = normalise({read_input(*norm, state->x)})[0];
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
    const Tensor g = outputs[0].clone(torch::MemoryFormat::ChannelsLast);
    mixed_op::Sums sums = clamp_backward(state->norm, state->clamp, state->x, g);
    const mixed_op::TermGradient own = mixed_op::term_gradient(state->norm, 1.0, sums.total, sums.dots);
    mixed_op::Exchange exchange;
    add_to(exchange, state->norm, sums);
    exchange.run();
    norm_backward(state->norm, sums, state->x, g);
    return {g, torch::tensor(own.gamma, torch::kDouble), torch::tensor(own.beta, torch::kDouble), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor norm_clamp(const Tensor& x, const Norm& norm, mixed_op::Clamp clamp) {
  mixed_op::check_activations("norm_clamp", x, /*takes_gpu=*/true);
  TORCH_CHECK(x.size(1) == norm.channels(), "norm_clamp: a batch norm of ", norm.channels(),
              " channels meets an input of ", x.size(1));
  if (!x.is_cpu()) return compose_norm_clamp(x, norm, clamp);
  return NormClampFunction::apply(x, norm.weight(), norm.bias(), &norm, clamp);
}

}  // namespace flowdarts::mobilenet
