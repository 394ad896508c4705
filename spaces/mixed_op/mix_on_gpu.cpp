#include <flowdarts/spaces/mixed_op/mix_on_gpu.hpp>

#include <algorithm>

namespace flowdarts::mixed_op {
namespace {

using torch::Tensor;

/// What an input is normalised with, and the places of its gamma and beta among the variables.
struct InputNorm {
  TermNorm norm = TermNorm::none;
  Tensor running_mean, running_var;
  std::size_t gamma = Variables::none;
  std::size_t beta = Variables::none;
};

/// What the backward pass knows besides the tensors that autograd keeps: inputs, op weights, gammas and betas in the
/// order of the variables, then the statistics and, of a mix with ReLU, the result.
struct MixState : torch::CustomClassHolder {
  std::vector<InputNorm> norms;
  std::size_t weights = Variables::none;
  std::size_t variable_count = 0;
  bool wide = false;
  bool relu = false;
  double eps = BatchNormOptions().eps;  // of all norms
  std::shared_ptr<const RankSum> sum;   // over the processes that share the batch; null: it is here
  Tensor moments;                       // what they exchanged
};

class MixOnGpu : public torch::autograd::Function<MixOnGpu> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, torch::TensorList variables,
                        const c10::intrusive_ptr<MixState>& state) {
    const std::size_t count = state->norms.size();
    torch::autograd::variable_list saved(variables.begin(), variables.end());
    for (std::size_t k = 0; k < count; ++k) saved[k] = as_rows(variables[k]);
    if (state->weights != Variables::none) {
      Tensor& weights = saved[state->weights];
      weights = (weights.scalar_type() == torch::kDouble ? weights : weights.to(torch::kFloat)).contiguous();
    }
    for (const InputNorm& norm : state->norms) {
      for (const std::size_t place : {norm.gamma, norm.beta}) {
        if (place != Variables::none) saved[place] = saved[place].contiguous();
      }
    }
    const std::int64_t channels = saved[0].size(1);
    const std::int64_t pixels = pixel_count(saved[0]);
    Tensor out = empty_channels_last(saved[0]);
    const Tensor statistics =
        torch::empty({static_cast<std::int64_t>(count), 2, channels}, out.options().dtype(torch::kDouble));
    const DeviceStream stream(out);
    if (pixels > 0 && channels > 0) {
      with_type(out.scalar_type(), [&]<class T>() {
        MixForward<T> mix;
        for (std::size_t k = 0; k < count; ++k) {
          const InputNorm& norm = state->norms[k];
          mix.terms[k] = {.x = device_rows<const T>(saved[k]),
                          .gamma = device_data(at_place(saved, norm.gamma)),
                          .beta = device_data(at_place(saved, norm.beta)),
                          .running_mean = device_data(norm.running_mean),
                          .running_var = device_data(norm.running_var),
                          .norm = norm.norm,
                          .place = static_cast<std::int32_t>(k)};
        }
        mix.count = static_cast<int>(count);
        mix.wide = state->wide;
        mix.pixels = pixels;
        mix.channels = channels;
        mix.weights = device_values(at_place(saved, state->weights));
        (state->relu ? mix.rectified : mix.out) = device_rows<T>(out);
        mix.statistics = statistics.mutable_data_ptr<double>();
        mix.eps = state->eps;
        mix.momentum = BatchNorm::momentum;
        state->moments = run_forward(mix, state->sum.get(), out, stream);
      });
    }
    saved.push_back(statistics);
    saved.push_back(state->relu ? out : Tensor());
    context->save_for_backward(std::move(saved));
    context->saved_data["state"] = torch::IValue::make_capsule(state);
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "mix: its gradient on a GPU is not differentiable");
    const auto state = c10::static_intrusive_pointer_cast<MixState>(context->saved_data["state"].toCapsule());
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const Tensor& statistics = saved[state->variable_count];
    const Tensor& gate = saved[state->variable_count + 1];
    const std::size_t count = state->norms.size();
    const Tensor g = as_rows(outputs[0]);
    const std::int64_t channels = g.size(1);
    const std::int64_t pixels = pixel_count(g);
    const DeviceStream stream(g);

    torch::autograd::variable_list gradients(state->variable_count + 1);  // and the argument that is no variable
    for (std::size_t place = 0; place < state->variable_count; ++place) {
      if (!needs(*context, place)) continue;
      gradients[place] = place < count ? empty_channels_last(saved[place]) : torch::empty_like(saved[place]);
    }
    if (pixels == 0 || channels == 0) {
      for (Tensor& gradient : gradients) {
        if (gradient.defined()) gradient.zero_();
      }
      return gradients;
    }
    with_type(g.scalar_type(), [&]<class T>() {
      const auto optional_rows = [](const Tensor& x) { return x.defined() ? device_rows<T>(x) : Rows<T>(); };
      MixBackward<T> mix;
      for (std::size_t k = 0; k < count; ++k) {
        const InputNorm& norm = state->norms[k];
        mix.terms[k] = {.x = device_rows<const T>(saved[k]),
                        .gamma = device_data(at_place(saved, norm.gamma)),
                        .beta = device_data(at_place(saved, norm.beta)),
                        .dgamma = device_data(at_place(gradients, norm.gamma)),
                        .dbeta = device_data(at_place(gradients, norm.beta)),
                        .dx = optional_rows(gradients[k]),
                        .norm = norm.norm,
                        .place = static_cast<std::int32_t>(k)};
      }
      mix.count = static_cast<int>(count);
      mix.wide = state->wide;
      mix.pixels = pixels;
      mix.channels = channels;
      mix.weights = device_values(at_place(saved, state->weights));
      mix.dweights = device_values(at_place(gradients, state->weights));
      mix.g = device_rows<const T>(g);
      mix.gate = optional_rows(gate);
      mix.statistics = statistics.const_data_ptr<double>();
      run_backward(mix, state->sum.get(), state->moments, g, stream);
    });
    return gradients;
  }

 private:
  static Tensor at_place(const torch::autograd::variable_list& tensors, std::size_t place) {
    return place == Variables::none ? Tensor() : tensors[place];
  }
};

}  // namespace

TermNorm norm_of(const BatchNorm* norm) {
  if (norm == nullptr) return TermNorm::none;
  if (!norm->uses_batch_statistics()) return TermNorm::running;
  return norm->updates_statistics() ? TermNorm::updating : TermNorm::batch;
}

Tensor mix_on_gpu(std::span<const MixInput> inputs, const Tensor& weights, bool relu) {
  TORCH_CHECK(inputs.size() <= max_mix_terms, "a mix on a GPU has at most ", max_mix_terms, " inputs, found ",
              inputs.size());
  const torch::Device device = inputs[0].x.device();
  const auto check_device = [&](const Tensor& tensor) {
    TORCH_CHECK(tensor.device() == device, "the tensors of a mix lie on one device, found ", device, " and ",
                tensor.device());
  };
  auto state = c10::make_intrusive<MixState>();
  state->relu = relu;
  Variables variables;
  for (const MixInput& input : inputs) {
    check_device(input.x);
    variables.add(input.x);
  }
  if (weights.defined()) check_device(weights);
  state->weights = variables.add(weights);
  std::optional<at::ScalarType> parameters;
  std::optional<double> eps;
  std::vector<const void*> moved;
  bool batch_statistics = false;
  for (const MixInput& input : inputs) {
    InputNorm norm{.norm = norm_of(input.norm)};
    if (input.norm != nullptr) {
      TORCH_CHECK(input.norm->eps() == eps.value_or(input.norm->eps()),
                  "the batch norms of a mix on a GPU have one eps, found ", *eps, " and ", input.norm->eps());
      eps = input.norm->eps();
      for (const Tensor& tensor :
           {input.norm->weight(), input.norm->bias(), input.norm->running_mean(), input.norm->running_var()}) {
        if (!tensor.defined()) continue;
        check_device(tensor);
        const at::ScalarType type = tensor.scalar_type();
        TORCH_CHECK((type == torch::kFloat || type == torch::kDouble) && type == parameters.value_or(type),
                    "the batch norms of a mix on a GPU have parameters of one type, Float or Double, found ", type);
        parameters = type;
      }
      norm.gamma = variables.add(input.norm->weight());
      norm.beta = variables.add(input.norm->bias());
      if (norm.norm == TermNorm::running || norm.norm == TermNorm::updating) {
        norm.running_mean = input.norm->running_mean();
        norm.running_var = input.norm->running_var();
        TORCH_CHECK(norm.running_mean.is_contiguous() && norm.running_var.is_contiguous(),
                    "the running statistics of a mix on a GPU are contiguous");
      }
      if (input.norm->uses_batch_statistics()) {
        const std::shared_ptr<const RankSum> sum = input.norm->rank_sum();
        TORCH_CHECK(!batch_statistics || sum == state->sum,
                    "the batch norms of a mix on a GPU share their statistics with the same processes");
        batch_statistics = true;
        state->sum = sum;
      }
      if (norm.norm == TermNorm::updating) moved.push_back(norm.running_mean.const_data_ptr());
    }
    state->norms.push_back(std::move(norm));
  }
  state->wide = parameters == torch::kDouble;
  state->eps = eps.value_or(state->eps);
  state->variable_count = variables.tensors.size();
  std::ranges::sort(moved);
  TORCH_CHECK(std::ranges::adjacent_find(moved) == moved.end(),
              "two inputs of a mix on a GPU move the same running statistics");
  return MixOnGpu::apply(torch::TensorList(variables.tensors), state);
}

}  // namespace flowdarts::mixed_op
