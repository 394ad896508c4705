#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/mix_kernels.hpp>

#include <utility>

#ifdef FLOWDARTS_CUDA
#include <flowdarts/spaces/mixed_op/mix_on_gpu.hpp>
#endif

namespace flowdarts {
namespace mixed_op {

namespace {

/// The sums of one mix, in parts.
template <class T>
class PartSums {
 public:
  PartSums(const torch::Tensor& g, const torch::Tensor& gate, std::span<const Term* const> terms, std::int64_t parts)
      : g_(rows<const T>(g)),
        gate_(gate.defined() ? rows<const T>(gate) : Rows<const T>()),
        terms_(terms),
        channels_(static_cast<std::size_t>(g.size(1))),
        sums_(static_cast<std::size_t>(parts), std::vector<double>((terms.size() + 1) * channels_)) {
    for (const Term* term : terms) {
      const std::vector<Compute<T>>& centre = centres_.emplace_back(centre_of<T>(*term));
      inputs_.push_back({rows<const T>(term->x, term->first), centre.empty() ? nullptr : centre.data()});
    }
  }

  /// Adds what some pixels of a part give.
  void add(std::int64_t part, PixelRange pixels) {
    std::vector<double>& sums = sums_[static_cast<std::size_t>(part)];
    std::vector<double> own(sums.size());
    dots<T>(g_, gate_, inputs_, pixels, static_cast<std::int64_t>(channels_), own.data(), own.data() + channels_);
    std::ranges::transform(sums, own, sums.begin(), std::plus<>());
  }

  [[nodiscard]] Sums result() const {
    std::vector<double> all((terms_.size() + 1) * channels_);
    for (const std::vector<double>& part : sums_) std::ranges::transform(all, part, all.begin(), std::plus<>());
    // What the centres lost when they were rounded: sum g (x - mean) = sum g (x - centre) + (centre - mean) sum g.
    for (std::size_t t = 0; t < terms_.size(); ++t) {
      if (!terms_[t]->norm) continue;
      for (std::size_t c = 0; c < channels_; ++c) {
        all[(t + 1) * channels_ + c] += (centres_[t][c] - terms_[t]->norm->mean[c]) * all[c];
      }
    }
    const auto dots_begin = all.begin() + static_cast<std::ptrdiff_t>(channels_);
    return {.total = {all.begin(), dots_begin}, .dots = {dots_begin, all.end()}};
  }

 private:
  Rows<const T> g_, gate_;
  std::span<const Term* const> terms_;
  std::size_t channels_;
  std::vector<std::vector<Compute<T>>> centres_;
  std::vector<CentredTerm<T>> inputs_;
  std::vector<std::vector<double>> sums_;  // of each part: total, then dots
};

}  // namespace

Sums reduce(const torch::Tensor& g, const torch::Tensor& gate, std::span<const Term* const> terms) {
  return with_type(g.scalar_type(), [&]<class T>() {
    const Parts parts(pixel_count(g), g.size(1));
    PartSums<T> sums(g, gate, terms, parts.count());
    parts.for_each([&](std::int64_t part, PixelRange range) { sums.add(part, range); });
    return sums.result();
  });
}

void reduce(std::span<Reduction> mixes) {
  if (mixes.empty()) return;
  const torch::Tensor& like = mixes[0].g;
  with_type(like.scalar_type(), [&]<class T>() {
    const Parts parts(pixel_count(like), like.size(1));
    std::vector<PartSums<T>> sums;
    for (const Reduction& mix : mixes) sums.emplace_back(mix.g, torch::Tensor(), mix.terms, parts.count());
    parts.for_each([&](std::int64_t part, PixelRange range) {
      for_cached_pixels(range, like.size(1), [&](PixelRange pixels) {
        for (PartSums<T>& own : sums) own.add(part, pixels);
      });
    });
    for (std::size_t m = 0; m < mixes.size(); ++m) mixes[m].sums = sums[m].result();
  });
}

void add_to(Exchange& exchange, std::span<const Term* const> terms, Sums& sums) {
  bool total = false;
  for (std::size_t t = 0; t < terms.size(); ++t) {
    if (!terms[t]->norm || !terms[t]->norm->sum) continue;
    if (!std::exchange(total, true)) exchange.add(terms[t]->norm->sum, sums.total);
    exchange.add(terms[t]->norm->sum, std::span(sums.dots).subspan(t * sums.total.size(), sums.total.size()));
  }
}

}  // namespace mixed_op

namespace {

using mixed_op::Term;

/// Where the variables of a mix stand; its inputs come first.
struct MixPlaces {
  std::size_t weights;
  std::vector<std::size_t> gamma, beta;  // of each input
};

struct MixState : torch::CustomClassHolder {
  std::vector<Term> terms;
  torch::Tensor rectified;  // of a mix with ReLU
  MixPlaces places;
  std::size_t variable_count = 0;
};

class MixFunction : public torch::autograd::Function<MixFunction> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, torch::TensorList variables,
                               const std::vector<const BatchNorm*>& norms, const MixPlaces& places, bool relu) {
    const std::size_t count = norms.size();
    auto state = c10::make_intrusive<MixState>();
    state->places = places;
    state->variable_count = variables.size();
    std::vector<double> values(count, 1.0);
    if (places.weights != mixed_op::Variables::none) {
      const torch::Tensor doubles = variables[places.weights].detach().to(torch::kDouble).contiguous();
      std::copy_n(doubles.const_data_ptr<double>(), count, values.begin());
    }
    std::vector<mixed_op::Moments> moments(count);
    mixed_op::Exchange exchange;
    for (std::size_t k = 0; k < count; ++k) {
      state->terms.push_back({.x = mixed_op::channels_last(variables[k].detach()), .weight = values[k]});
      if (norms[k] == nullptr || !norms[k]->uses_batch_statistics()) continue;
      moments[k] = mixed_op::moments(state->terms[k].x);
      exchange.add(*norms[k], moments[k]);
    }
    exchange.run();
    std::vector<Term> active;
    for (std::size_t k = 0; k < count; ++k) {
      Term& term = state->terms[k];
      if (norms[k] != nullptr) term.norm = mixed_op::normalise(*norms[k], moments[k]);
      if (term.weight != 0.0) active.push_back(term);
    }
    torch::Tensor out = mixed_op::empty_channels_last(state->terms[0].x);
    const std::int64_t channels = out.size(1);
    mixed_op::with_type(out.scalar_type(), [&]<class T>() {
      const mixed_op::WeightedSum<T> sum(active, channels);
      const mixed_op::Rows<T> to = mixed_op::rows<T>(out);
      mixed_op::Parts(mixed_op::pixel_count(out), channels).for_each([&](std::int64_t, mixed_op::PixelRange range) {
        sum(range, relu ? mixed_op::Rows<T>() : to, relu ? to : mixed_op::Rows<T>());
      });
    });
    // Saved for the check alone that nobody changed them in place.
    torch::autograd::variable_list saved(variables.begin(), variables.begin() + static_cast<std::ptrdiff_t>(count));
    if (relu) {
      state->rectified = out.detach();
      saved.push_back(out);
    }
    context->save_for_backward(std::move(saved));
    context->saved_data["state"] = torch::IValue::make_capsule(std::move(state));
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "a mix: its gradient is not differentiable");
    context->get_saved_variables();
    const auto state = c10::static_intrusive_pointer_cast<MixState>(context->saved_data["state"].toCapsule());
    const MixPlaces& places = state->places;
    const std::size_t count = state->terms.size();
    const torch::Tensor g = mixed_op::channels_last(outputs[0]);
    const auto needs = [&](std::size_t place) { return mixed_op::needs(*context, place); };
    const bool weights_need = needs(places.weights);
    std::vector<const Term*> reduced;
    std::vector<std::size_t> position(count, 0);
    bool inputs_need = false;  // sums, that is
    for (std::size_t k = 0; k < count; ++k) {
      const bool input_needs =
          needs(k) && state->terms[k].norm && state->terms[k].norm->batch_statistics && state->terms[k].weight != 0.0;
      if (!weights_need && !needs(places.gamma[k]) && !needs(places.beta[k]) && !input_needs) continue;
      reduced.push_back(&state->terms[k]);
      position[k] = reduced.size();
      inputs_need |= input_needs;
    }
    const mixed_op::Sums sums = reduced.empty() ? mixed_op::Sums() : mixed_op::reduce(g, state->rectified, reduced);
    mixed_op::Sums whole = sums;  // of the whole batch
    if (inputs_need) {
      mixed_op::Exchange exchange;
      mixed_op::add_to(exchange, reduced, whole);
      exchange.run();
    }

    torch::autograd::variable_list gradients(state->variable_count + 3);  // and the arguments that are no variables
    const auto options = torch::TensorOptions().dtype(torch::kDouble);
    torch::Tensor weight_gradients = torch::zeros({static_cast<std::int64_t>(count)}, options);
    for (std::size_t k = 0; k < count; ++k) {
      const Term& term = state->terms[k];
      const std::span<const double> dot = position[k] > 0 ? sums.dot(position[k] - 1) : std::span<const double>();
      if (position[k] > 0 && term.norm) {
        mixed_op::TermGradient own = mixed_op::term_gradient(*term.norm, term.weight, sums.total, dot);
        weight_gradients[k] = own.weight;
        if (needs(places.gamma[k])) gradients[places.gamma[k]] = torch::tensor(own.gamma, options);
        if (needs(places.beta[k])) gradients[places.beta[k]] = torch::tensor(own.beta, options);
      } else if (position[k] > 0) {
        double sum = 0.0;
        for (const double value : dot) sum += value;
        weight_gradients[k] = sum;
      }
      if (needs(k)) {
        if (term.weight == 0.0) {
          gradients[k] = torch::zeros_like(term.x);
        } else if (term.weight == 1.0 && !term.norm && !state->rectified.defined()) {
          gradients[k] = g;
        } else {
          gradients[k] = mixed_op::empty_channels_last(term.x);
          const auto whole_dot = position[k] > 0 ? whole.dot(position[k] - 1) : std::span<const double>();
          write_gradient(term, g, state->rectified, whole.total, whole_dot, gradients[k]);
        }
      }
    }
    if (weights_need) gradients[places.weights] = weight_gradients;
    return gradients;
  }

 private:
  static void write_gradient(const Term& term, const torch::Tensor& g, const torch::Tensor& gate,
                             std::span<const double> total, std::span<const double> dot, const torch::Tensor& dx) {
    using namespace mixed_op;
    const std::int64_t channels = dx.size(1);
    const InputGradient gradient =
        term.norm ? input_gradient(*term.norm, term.weight, total, dot)
                  : InputGradient{.a = std::vector<double>(static_cast<std::size_t>(channels), term.weight)};
    with_type(dx.scalar_type(), [&]<class T>() {
      const GradientWriter<T> write(gradient);
      const Rows<const T> open = gate.defined() ? rows<const T>(gate) : Rows<const T>();
      Parts(pixel_count(dx), channels).for_each([&](std::int64_t, PixelRange range) {
        write(rows<const T>(g), open, rows<const T>(term.x), range, rows<T>(dx));
      });
    });
  }
};

}  // namespace

torch::Tensor mix(std::span<const MixInput> inputs, const torch::Tensor& weights, bool relu) {
  TORCH_CHECK(!inputs.empty(), "a mix needs at least one input");
  const auto count = static_cast<std::int64_t>(inputs.size());
  TORCH_CHECK(!weights.defined() || (weights.dim() == 1 && weights.size(0) == count), "a mix of ", count,
              " inputs takes that many weights");
  mixed_op::Variables variables;
  std::vector<const BatchNorm*> norms;
  for (const MixInput& input : inputs) {
    TORCH_CHECK(input.x.defined(), "an input of a mix is undefined");
#ifdef FLOWDARTS_CUDA
    TORCH_CHECK(input.x.device() == inputs[0].x.device() && (input.x.is_cpu() || input.x.is_cuda()),
                "a mix runs on a CPU or a GPU, with all its inputs, found inputs on ", inputs[0].x.device(), " and ",
                input.x.device());
#else
    TORCH_CHECK(input.x.device().is_cpu(),
                "a mix runs on a CPU (a GPU needs a build with FLOWDARTS_CUDA), found an input on ", input.x.device());
#endif
    TORCH_CHECK(input.x.dim() == 4 && input.x.sizes() == inputs[0].x.sizes() &&
                    input.x.scalar_type() == inputs[0].x.scalar_type(),
                "the inputs of a mix have one shape [B, C, H, W] and type, found ", inputs[0].x.scalar_type(),
                inputs[0].x.sizes(), " and ", input.x.scalar_type(), input.x.sizes());
    TORCH_CHECK(input.norm == nullptr || input.norm->channels() == input.x.size(1), "a batch norm of ",
                input.norm == nullptr ? 0 : input.norm->channels(), " channels meets an input of ", input.x.size(1));
    variables.add(input.x);
    norms.push_back(input.norm);
  }
#ifdef FLOWDARTS_CUDA
  if (inputs[0].x.is_cuda()) return mixed_op::mix_on_gpu(inputs, weights, relu);
#endif
  MixPlaces places{.weights = variables.add(weights)};
  for (const BatchNorm* norm : norms) {
    places.gamma.push_back(variables.add(norm != nullptr ? norm->weight() : torch::Tensor()));
    places.beta.push_back(variables.add(norm != nullptr ? norm->bias() : torch::Tensor()));
  }
  return MixFunction::apply(torch::TensorList(variables.tensors), norms, places, relu);
}

}  // namespace flowdarts
