#include <flowdarts/spaces/darts/fused_state.hpp>
#include <flowdarts/spaces/mixed_op/conv1x1_kernels.hpp>
#include <flowdarts/spaces/mixed_op/depthwise_kernels.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/mix_kernels.hpp>
#include <flowdarts/spaces/mixed_op/pool_kernels.hpp>

namespace flowdarts::darts {
namespace {

using namespace mixed_op;
using torch::Tensor;

/// Where the variables of a separable convolution stand.
struct StagePlaces {
  std::size_t depthwise, pointwise, bias;
};

/// A separable convolution and its batch norm: what it reads of its parameters, and what it gave.
struct Stage {
  const SeparableConv* conv;
  StagePlaces places;
  DepthwiseShape shape;
  // In the type sums are taken in:
  Tensor taps;              // [k * k, C]
  Tensor matrix, matrix_t;  // of the pointwise convolution, [C out, C in] and transposed
  Tensor bias;              // [C] or undefined
  Tensor y;                 // before the batch norm
  Normalisation norm;

  [[nodiscard]] std::int64_t out_pixels() const { return shape.out_height() * shape.out_width(); }
  [[nodiscard]] std::int64_t out_image() const { return out_pixels() * shape.channels; }
  [[nodiscard]] std::int64_t in_image() const { return shape.height * shape.width * shape.channels; }
};

/// A term of an edge's sum and where its weight stands.
struct EdgeTerm {
  std::size_t edge;
  std::int64_t place;
  Term term;
  InputGradient gradient = {};  // once the backward pass knows it
};

struct ConvRun {
  Stage first;
  std::optional<Stage> second;
  EdgeTerm out;

  [[nodiscard]] const Stage& last() const { return second ? *second : first; }
};

struct PoolRun {
  Tensor x;
  std::vector<EdgeTerm> terms;
};

struct SkipRun {
  Tensor mask;  // of a dropout, else undefined
  EdgeTerm out;
};

struct ReduceRun {
  std::size_t weight1, weight2, bias1, bias2;  // places of variables
  Tensor matrix1, matrix2;                     // [C / 2, C], of x's type
  EdgeTerm out;
};

struct StateRun : torch::CustomClassHolder {
  std::shared_ptr<const StatePlan> plan;
  std::size_t variable_count = 0;
  Tensor x;
  Tensor even, odd;  // rectified pixels that factorised reductions read
  std::vector<ConvRun> convs;
  PoolRun max_pool, average_pool;
  std::vector<SkipRun> skips;
  std::vector<ReduceRun> reduces;

  /// Calls f(term) for each term of each edge.
  template <class F>
  void for_each_term(const F& f) {
    for (ConvRun& conv : convs) f(conv.out);
    for (PoolRun* pool : {&max_pool, &average_pool}) std::ranges::for_each(pool->terms, f);
    for (SkipRun& skip : skips) f(skip.out);
    for (ReduceRun& reduce : reduces) f(reduce.out);
  }
};

constexpr std::size_t fixed_variables = 2;  // x and the op weights

/// [pixels, channels] of the images [first, first + count) of a channels-last tensor.
Tensor matrix_of(const Tensor& x, std::int64_t first, std::int64_t count) {
  return x.narrow(0, first, count).permute({0, 2, 3, 1}).view({-1, x.size(1)});
}

/// Memory for an image or a few.
template <class T>
std::unique_ptr<T[]> scratch(std::int64_t size) {
  return std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(size));
}

PixelRange pixels_of(const Tensor& x, ImageRange images) {
  const std::int64_t size = x.size(2) * x.size(3);
  return {images.begin * size, images.end * size};
}

/// How a batch is worked on: in parts, and of those as many images at once as keep what is made of them in the
/// second-level cache. By the shape alone, so that the number of threads changes no bit.
struct Blocks : ImageParts {
  std::int64_t step;

  explicit Blocks(const Tensor& x)
      : Blocks(x, std::clamp<std::int64_t>(16384 * x.size(0) / std::max<std::int64_t>(x.numel(), 1), 1, 4)) {}

  /// f(block) for those of a part, one after the other.
  template <class F>
  void for_each_block(ImageRange part, const F& f) const {
    for (; part.begin < part.end; part.begin += step) f(ImageRange{part.begin, std::min(part.begin + step, part.end)});
  }

 private:
  Blocks(const Tensor& x, std::int64_t at_once) : ImageParts(x.size(0), at_once > 1 ? 16 : 32), step(at_once) {}
};

Term without_norm(const Tensor& x, double weight) {
  return {.x = x, .weight = weight};
}

/// out = the sum of terms.
void sum_terms(std::span<const Term> terms, const Tensor& out) {
  with_type(out.scalar_type(), [&]<class T>() {
    const WeightedSum<T> sum(terms, out.size(1));
    Parts(pixel_count(out), out.size(1)).for_each([&](std::int64_t, PixelRange range) {
      sum(range, rows<T>(out), {});
    });
  });
}

/// What the batch norm behind a stage gives, before the ReLU.
template <class T>
WeightedSum<T> normalised_output(const Stage& stage) {
  const Term term{.x = stage.y, .norm = stage.norm};
  return WeightedSum<T>(std::span(&term, 1), stage.shape.channels);
}

// ---- Forward ----

class StateForward {
 public:
  StateForward(StateRun& run, torch::TensorList variables) : run_(run), variables_(variables) {}

  std::vector<Tensor> operator()() {
    run_pools();
    std::vector<Stage*> first, second;
    std::vector<const Stage*> none(run_.convs.size(), nullptr), before;
    for (ConvRun& conv : run_.convs) {
      first.push_back(&conv.first);
      if (!conv.second) continue;
      second.push_back(&*conv.second);
      before.push_back(&conv.first);
    }
    run_stages(first, none);
    run_reduces();
    normalise_read();
    // The second convolutions of sep_convs.
    run_stages(second, before);
    normalise_read();
    for (ConvRun& conv : run_.convs) {
      conv.out.term.x = conv.last().y;
      conv.out.term.norm = conv.last().norm;
    }
    std::vector<std::vector<Term>> terms(run_.plan->edges);
    run_.for_each_term([&](EdgeTerm& term) {
      if (term.term.weight != 0.0) terms[term.edge].push_back(term.term);
    });
    const std::int64_t step = run_.plan->stride;
    const std::array<std::int64_t, 4> sizes{run_.x.size(0), run_.x.size(1), run_.x.size(2) / step,
                                            run_.x.size(3) / step};
    std::vector<Tensor> outputs;
    for (std::size_t e = 0; e < terms.size(); ++e) outputs.push_back(empty_channels_last(sizes, run_.x));
    const std::int64_t channels = run_.x.size(1);
    with_type(run_.x.scalar_type(), [&]<class T>() {
      std::vector<WeightedSum<T>> sums;
      for (const auto& own : terms) sums.emplace_back(own, channels);
      // All edges of some pixels, then the next pixels: edges share the pools and x.
      Parts(pixel_count(outputs[0]), channels).for_each([&](std::int64_t, PixelRange range) {
        for_cached_pixels(range, channels, [&](PixelRange pixels) {
          for (std::size_t e = 0; e < sums.size(); ++e) sums[e](pixels, rows<T>(outputs[e]), {});
        });
      });
    });
    return outputs;
  }

 private:
  void run_pools() {
    const PoolGeometry geometry{.height = run_.x.size(2), .width = run_.x.size(3), .stride = run_.plan->stride};
    for (PoolRun* pool : {&run_.max_pool, &run_.average_pool}) {
      if (pool->terms.empty()) continue;
      const std::int64_t channels = run_.x.size(1);
      pool->x = empty_channels_last({run_.x.size(0), channels, geometry.out_height(), geometry.out_width()}, run_.x);
      with_type(run_.x.scalar_type(), [&]<class T>() {
        for_each_task(run_.x.size(0), [&](std::int64_t image) {
          const T* in = elements<T>(run_.x) + image * geometry.height * geometry.width * channels;
          T* out = mutable_elements<T>(pool->x) + image * geometry.out_height() * geometry.out_width() * channels;
          (pool == &run_.max_pool ? max_pool<T> : average_pool<T>)(in, geometry, channels, out);
        });
      });
      const auto& plans = pool == &run_.max_pool ? run_.plan->max_pools : run_.plan->average_pools;
      // One pass for the statistics of all edges: they see the same pixels.
      NormInput input;
      for (std::size_t i = 0; i < plans.size(); ++i) {
        pool->terms[i].term.x = pool->x;
        if (plans[i].norm == nullptr) continue;
        input.readers.push_back({plans[i].norm, &pool->terms[i].term.norm.emplace()});
      }
      if (std::ranges::any_of(input.readers, [](const auto& r) { return r.norm->uses_batch_statistics(); })) {
        input.batch = moments(pool->x);
      }
      inputs_.push_back(std::move(input));
    }
  }

  // Each reads what the batch norm of the stage before it gives, or x where there is none.
  void run_stages(std::span<Stage* const> stages, std::span<const Stage* const> before) {
    const Blocks parts(run_.x);
    const auto count = static_cast<std::int64_t>(stages.size());
    std::vector<Moments> moments(static_cast<std::size_t>(count * parts.count));
    for (Stage* stage : stages) {
      stage->y = empty_channels_last(
          {run_.x.size(0), stage->shape.channels, stage->shape.out_height(), stage->shape.out_width()}, run_.x);
    }
    with_type(run_.x.scalar_type(), [&]<class T>() {
      for_each_task(count * parts.count, [&](std::int64_t task) {
        const std::int64_t part = task / count, s = task % count;
        run_stage<T>(*stages[s], before[s], parts, parts[part], moments[s * parts.count + part]);
      });
    });
    for (std::int64_t s = 0; s < count; ++s) {
      Moments all;
      if (stages[s]->conv->norm().uses_batch_statistics()) {
        for (std::int64_t part = 0; part < parts.count; ++part) {
          const Moments& own = moments[s * parts.count + part];
          add_part(all, own.mean, own.squares, own.count);
        }
      }
      inputs_.push_back({std::move(all), {{&stages[s]->conv->norm(), &stages[s]->norm}}});
    }
  }

  template <class T>
  void run_stage(const Stage& stage, const Stage* before, const Blocks& blocks, ImageRange images,
                 Moments& moments) const {
    const std::int64_t channels = stage.shape.channels;
    std::vector<double> mean(static_cast<std::size_t>(channels)), squares(mean.size());
    const auto z = scratch<T>(blocks.step * stage.out_image());
    const auto u = scratch<T>(before != nullptr ? blocks.step * stage.in_image() : 0);
    std::optional<WeightedSum<T>> normalised;
    if (before != nullptr) normalised.emplace(normalised_output<T>(*before));
    const auto* bias = stage.bias.defined() ? elements<Compute<T>>(stage.bias) : nullptr;
    blocks.for_each_block(images, [&](ImageRange block) {
      const std::int64_t count = block.end - block.begin;
      const T* x = u.get();
      if (before != nullptr) {
        const PixelRange pixels = pixels_of(before->y, block);
        (*normalised)(pixels, {u.get() - pixels.begin * channels, channels}, {});
      } else {
        x = elements<T>(run_.x) + block.begin * stage.in_image();
      }
      depthwise<T>(x, elements<Compute<T>>(stage.taps), stage.shape, {0, count * stage.shape.out_height()}, z.get());
      pointwise<T>(z.get(), elements<Compute<T>>(stage.matrix_t), bias, count * stage.out_pixels(), channels, channels,
                   mutable_elements<T>(stage.y) + block.begin * stage.out_image());
      if (stage.conv->norm().uses_batch_statistics()) {
        mixed_op::moments<T>(rows<const T>(stage.y), pixels_of(stage.y, block), channels, mean.data(), squares.data(),
                             {});
        add_part(moments, mean, squares, static_cast<double>(count * stage.out_pixels()));
      }
    });
  }

  void run_reduces() {
    if (run_.reduces.empty()) return;
    const Tensor rectified = torch::relu(run_.x);
    run_.even = channels_last(rectified.slice(2, 0, {}, 2).slice(3, 0, {}, 2));
    run_.odd = channels_last(rectified.slice(2, 1, {}, 2).slice(3, 1, {}, 2));
    const std::int64_t batch = run_.x.size(0), half = run_.x.size(1) / 2;
    for (std::size_t r = 0; r < run_.reduces.size(); ++r) {
      ReduceRun& reduce = run_.reduces[r];
      const Tensor y = empty_channels_last(run_.even);
      const auto fill = [&](std::int64_t from, const Tensor& in, const Tensor& matrix, std::size_t bias) {
        Tensor out = matrix_of(y, 0, batch).narrow(1, from, half);
        at::mm_out(out, matrix_of(in, 0, batch), matrix.t());
        if (bias != Variables::none) out.add_(variables_[bias].detach());
      };
      fill(0, run_.even, reduce.matrix1, reduce.bias1);
      fill(half, run_.odd, reduce.matrix2, reduce.bias2);
      const BatchNorm& norm = run_.plan->reduces[r].op->norm();
      reduce.out.term.x = y;
      inputs_.push_back(
          {norm.uses_batch_statistics() ? moments(y) : Moments(), {{&norm, &reduce.out.term.norm.emplace()}}});
    }
  }

  // What has been read for batch norms, all with one message where processes share the statistics.
  void normalise_read() {
    Exchange exchange;
    for (NormInput& input : inputs_) {
      if (!input.readers.empty()) exchange.add(*input.readers[0].norm, input.batch);
    }
    exchange.run();
    for (const NormInput& input : inputs_) {
      for (const auto& [norm, pass] : input.readers) *pass = normalise(*norm, input.batch);
    }
    inputs_.clear();
  }

  /// What batch norms read, and where their passes go.
  struct NormInput {
    struct Reader {
      const BatchNorm* norm;
      Normalisation* pass;
    };
    Moments batch;
    std::vector<Reader> readers;
  };

  StateRun& run_;
  torch::TensorList variables_;
  std::vector<NormInput> inputs_;  // to be normalised
};

// ---- Backward ----

/// Sums are kept in float32 at least.
void add_to(Tensor& sum, const Tensor& part) {
  const Tensor wide = part.scalar_type() == torch::kBFloat16 ? part.to(torch::kFloat) : part;
  sum = sum.defined() ? sum.add_(wide) : wide;
}

void add_to(std::vector<double>& sum, std::span<const double> part) {
  sum.resize(part.size());
  for (std::size_t i = 0; i < part.size(); ++i) sum[i] += part[i];
}

/// Sums over images for the gradients of one separable convolution: its weights', and those that the batch norm before
/// it needs.
struct StageSums {
  std::vector<double> taps, matrix, bias;  // [k * k, C], [C in, C out], [C]
  std::vector<double> total, dot;          // of the gradient of what the convolution reads, as Sums has them

  void add(const StageSums& part) {
    add_to(taps, part.taps);
    add_to(matrix, part.matrix);
    add_to(bias, part.bias);
    add_to(total, part.total);
    add_to(dot, part.dot);
  }
};

class StateBackward {
 public:
  StateBackward(const torch::autograd::AutogradContext& context, StateRun& run,
                const torch::autograd::variable_list& gradients)
      : run_(run),
        channels_(run.x.size(1)),
        batch_(run.x.size(0)),
        input_needs_(context.needs_input_grad(0)),
        alphas_need_(context.needs_input_grad(1)),
        result_(run.variable_count) {
    // Weights are asked for all or none.
    for (std::size_t v = fixed_variables; v < run.variable_count; ++v) weights_need_ |= context.needs_input_grad(v);
    for (const Tensor& g : gradients) g_.push_back(channels_last(g));
  }

  torch::autograd::variable_list operator()(std::int64_t op_weights) {
    reduce_edges(op_weights);
    if (!input_needs_ && !weights_need_) return std::move(result_);
    if (input_needs_) result_[0] = empty_channels_last(run_.x);
    with_type(run_.x.scalar_type(), [&]<class T>() { run_convs<T>(); });
    run_reduces();
    return std::move(result_);
  }

 private:
  // dL/d(op weights), and how the gradient of each term's input follows.
  void reduce_edges(std::int64_t op_weights) {
    Tensor alpha_gradient = torch::zeros({op_weights}, torch::kDouble);
    double* alpha = alpha_gradient.mutable_data_ptr<double>();
    std::vector<Reduction> edges;
    for (const Tensor& g : g_) edges.push_back({g, {}});
    std::vector<std::vector<EdgeTerm*>> reduced(edges.size());
    run_.for_each_term([&](EdgeTerm& term) {
      if (!term.term.norm) term.gradient.a.assign(static_cast<std::size_t>(channels_), term.term.weight);
      const bool normalised = (input_needs_ || weights_need_) && term.term.norm.has_value();
      if (!alphas_need_ && !normalised) return;
      reduced[term.edge].push_back(&term);
      edges[term.edge].terms.push_back(&term.term);
    });
    reduce(edges);
    // Of the whole batch; weights of ops take this process's part.
    std::vector<Sums> whole;
    Exchange exchange;
    for (const Reduction& edge : edges) whole.push_back(edge.sums);
    if (input_needs_ || weights_need_) {
      for (std::size_t e = 0; e < edges.size(); ++e) mixed_op::add_to(exchange, edges[e].terms, whole[e]);
    }
    exchange.run();
    for (std::size_t e = 0; e < edges.size(); ++e) {
      const Sums& sums = edges[e].sums;
      for (std::size_t t = 0; t < reduced[e].size(); ++t) {
        EdgeTerm& term = *reduced[e][t];
        const std::span<const double> dot = sums.dot(t);
        if (term.term.norm) {
          alpha[term.place] = term_gradient(*term.term.norm, term.term.weight, sums.total, dot).weight;
          term.gradient = input_gradient(*term.term.norm, term.term.weight, whole[e].total, whole[e].dot(t));
        } else {
          for (const double value : dot) alpha[term.place] += value;
        }
      }
    }
    if (alphas_need_) result_[1] = alpha_gradient;
  }

  /// The gradient g of what the batch norm behind a convolution gave, and how that of the convolution's output follows.
  struct Reader {
    const Stage* stage;
    Tensor g;
    InputGradient gradient;
  };

  // First the second convolutions of sep_convs; then all that read x, some images at a time.
  template <class T>
  void run_convs() {
    const Blocks parts(run_.x);
    std::vector<Reader> second, first;
    std::vector<const Stage*> before;
    std::vector<Tensor> between;  // gradients of what the first batch norms gave
    for (ConvRun& conv : run_.convs) {
      // What the mask of a search has switched off costs nothing.
      if (conv.out.term.weight == 0.0) {
        zero(conv.first);
        if (conv.second) zero(*conv.second);
        continue;
      }
      first.push_back({&conv.first, g_[conv.out.edge], conv.out.gradient});
      if (!conv.second) continue;
      second.push_back({&*conv.second, g_[conv.out.edge], conv.out.gradient});
      before.push_back(&conv.first);
      between.push_back(empty_channels_last(conv.first.y));
      first.back().g = between.back();
    }
    const auto count = static_cast<std::int64_t>(second.size());
    std::vector<StageSums> sums(static_cast<std::size_t>(count * parts.count));
    for_each_task(count * parts.count, [&](std::int64_t task) {
      const std::int64_t part = task / count, s = task % count;
      second_backward<T>(second[s], *before[s], between[s], parts, parts[part], sums[s * parts.count + part]);
    });
    std::vector<StageSums> all(second.size());
    for_each_task(count, [&](std::int64_t s) {
      all[s] = added(std::span(sums).subspan(s * parts.count, parts.count));
      store(*second[s].stage, all[s]);
    });
    Exchange exchange;
    for (std::size_t s = 0; s < all.size(); ++s) {
      exchange.add(before[s]->norm.sum, all[s].total);
      exchange.add(before[s]->norm.sum, all[s].dot);
    }
    exchange.run();
    for (std::size_t s = 0; s < all.size(); ++s) {
      for (Reader& reader : first) {
        if (reader.stage == before[s]) {
          reader.gradient = input_gradient(before[s]->norm, 1.0, all[s].total, all[s].dot);
        }
      }
    }
    sums.assign(first.size() * static_cast<std::size_t>(parts.count), {});
    first_backward<T>(first, parts, sums);
    for_each_task(static_cast<std::int64_t>(first.size()), [&](std::int64_t r) {
      store(*first[r].stage, added(std::span(sums).subspan(r * parts.count, parts.count)));
    });
  }

  static StageSums added(std::span<const StageSums> parts) {
    StageSums all;
    for (const StageSums& part : parts) all.add(part);
    return all;
  }

  /// Of some images: du, the gradient of what the batch norm of `before` gave, before the ReLU.
  template <class T>
  void second_backward(const Reader& reader, const Stage& before, const Tensor& du, const Blocks& blocks,
                       ImageRange images, StageSums& sums) const {
    const Stage& stage = *reader.stage;
    const auto u = scratch<T>(blocks.step * stage.in_image());
    const GradientWriter<T> writer(reader.gradient);
    const WeightedSum<T> normalised = normalised_output<T>(before);
    const std::vector<Compute<T>> centre = centre_of<T>({.x = before.y, .norm = before.norm});
    const CentredTerm<T> y{rows<const T>(before.y), centre.data()};
    std::vector<double> total(static_cast<std::size_t>(channels_)), dot(total.size());
    Scratch<T> memory(stage, blocks.step);
    blocks.for_each_block(images, [&](ImageRange block) {
      const PixelRange pixels = pixels_of(before.y, block);
      normalised(pixels, {u.get() - pixels.begin * channels_, channels_}, {});
      stage_backward<T>(reader, writer, u.get(), block, mutable_elements<T>(du) + block.begin * stage.in_image(),
                        InputGradientTo::gated, memory, sums);
      if (!before.norm.batch_statistics) return;
      dots<T>(rows<const T>(du), {}, std::span(&y, 1), pixels, channels_, total.data(), dot.data());
      for (std::size_t c = 0; c < total.size(); ++c) dot[c] += (centre[c] - before.norm.mean[c]) * total[c];
      add_to(sums.total, total);
      add_to(sums.dot, dot);
    });
  }

  template <class T>
  void first_backward(const std::vector<Reader>& readers, const Blocks& blocks, std::vector<StageSums>& sums) {
    const std::int64_t image = run_.x.size(2) * run_.x.size(3) * channels_;
    const auto count = static_cast<std::int64_t>(readers.size());
    std::vector<GradientWriter<T>> writers;
    for (const Reader& reader : readers) writers.emplace_back(reader.gradient);
    std::optional<InputSum<T>> sum;
    if (input_needs_) sum.emplace(*this);
    for_each_task(blocks.count, [&](std::int64_t part) {
      const auto dx = scratch<T>(input_needs_ ? blocks.step * image : 0);
      std::optional<Scratch<T>> memory;
      if (!readers.empty()) memory.emplace(*readers[0].stage, blocks.step);  // all have the same sizes
      blocks.for_each_block(blocks[part], [&](ImageRange block) {
        for (std::int64_t r = 0; r < count; ++r) {
          const auto to = r == 0 ? InputGradientTo::sum_begins : InputGradientTo::sum_goes_on;
          stage_backward<T>(readers[r], writers[r], elements<T>(run_.x) + block.begin * image, block, dx.get(), to,
                            *memory, sums[r * blocks.count + part]);
        }
        if (sum) (*sum)(block, count > 0 ? dx.get() : nullptr);
      });
    });
  }

  template <class T>
  struct Scratch {
    std::unique_ptr<T[]> dy, dz, z;
    Scratch(const Stage& stage, std::int64_t images)
        : dy(scratch<T>(images * stage.out_image())),
          dz(scratch<T>(images * stage.out_image())),
          z(scratch<T>(images * stage.out_image())) {}
  };

  /// What becomes of the gradient of the rectified input: where the input is positive, that of the input; or part of
  /// a sum whose first term it is or not.
  enum class InputGradientTo { gated, sum_begins, sum_goes_on };

  // A block of images through one separable convolution. x: what it reads, before its ReLU; dx may be null.
  template <class T>
  void stage_backward(const Reader& reader, const GradientWriter<T>& writer, const T* x, ImageRange block, T* dx,
                      InputGradientTo to, Scratch<T>& memory, StageSums& sums) const {
    const Stage& stage = *reader.stage;
    const PixelRange pixels = pixels_of(stage.y, block);
    const std::int64_t images = block.end - block.begin, count = images * stage.out_pixels();
    writer(rows<const T>(reader.g), {}, rows<const T>(stage.y), pixels,
           {memory.dy.get() - pixels.begin * channels_, channels_});
    pointwise<T>(memory.dy.get(), elements<Compute<T>>(stage.matrix), nullptr, count, channels_, channels_,
                 memory.dz.get());
    const RowRange out_rows{0, images * stage.shape.out_height()};
    if (weights_need_) {
      depthwise<T>(x, elements<Compute<T>>(stage.taps), stage.shape, out_rows, memory.z.get());
      sums.taps.resize(static_cast<std::size_t>(stage.shape.taps() * channels_));
      depthwise_weight_gradient<T>(memory.dz.get(), x, stage.shape, out_rows, sums.taps.data());
      sums.matrix.resize(static_cast<std::size_t>(channels_ * channels_));
      pointwise_weight_gradient<T>(memory.z.get(), memory.dy.get(), count, channels_, channels_, sums.matrix.data());
      if (stage.bias.defined()) {
        std::vector<double> total(static_cast<std::size_t>(channels_));
        dots<T>({memory.dy.get(), channels_}, {}, {}, {0, count}, channels_, total.data(), nullptr);
        add_to(sums.bias, total);
      }
    }
    if (dx == nullptr) return;
    DepthwiseShape shape = stage.shape;
    shape.relu_input = to == InputGradientTo::gated;
    depthwise_input_gradient<T>(memory.dz.get(), x, elements<Compute<T>>(stage.taps), shape, {0, images * shape.height},
                                dx, to == InputGradientTo::sum_goes_on);
  }

  void store(const Stage& stage, const StageSums& sums) {
    if (!weights_need_) return;
    const auto& depthwise = stage.conv->depthwise();
    const auto& pointwise = stage.conv->pointwise();
    result_[stage.places.depthwise] = transposed(sums.taps, depthwise.weight);
    result_[stage.places.pointwise] = transposed(sums.matrix, pointwise.weight);
    if (stage.bias.defined()) result_[stage.places.bias] = transposed(sums.bias, pointwise.bias);
  }

  /// values [n, out channels] as the gradient of a weight [out channels, ...] of n elements each.
  static Tensor transposed(std::span<const double> values, const Tensor& weight) {
    const Tensor gradient = torch::empty(weight.sizes(), weight.options().requires_grad(false));
    const auto columns = static_cast<std::size_t>(weight.size(0)), rows = values.size() / columns;
    const auto fill = [&]<class V>(V* to) {
      for (std::size_t column = 0; column < columns; ++column) {
        for (std::size_t row = 0; row < rows; ++row) *to++ = static_cast<V>(values[row * columns + column]);
      }
    };
    weight.scalar_type() == torch::kDouble ? fill(gradient.mutable_data_ptr<double>())
                                           : fill(gradient.mutable_data_ptr<float>());
    return gradient;
  }

  void zero(const Stage& stage) {
    if (!weights_need_) return;
    result_[stage.places.depthwise] = torch::zeros_like(stage.conv->depthwise().weight);
    result_[stage.places.pointwise] = torch::zeros_like(stage.conv->pointwise().weight);
    if (stage.places.bias != Variables::none) {
      result_[stage.places.bias] = torch::zeros_like(stage.conv->pointwise().bias);
    }
  }

  /// The gradient of a pool's output: what all its batch norms ask for, in one pass.
  template <class T>
  class PoolGradient {
   public:
    PoolGradient(const PoolRun& pool, const std::vector<Tensor>& g, std::int64_t channels)
        : pool_(pool), channels_(channels), coefficients_(pool.terms.size() + 2) {
      if (empty()) return;
      for (auto& part : coefficients_) part.resize(static_cast<std::size_t>(channels));
      std::vector<double> along(static_cast<std::size_t>(channels)), shift(along.size());
      for (std::size_t t = 0; t < pool.terms.size(); ++t) {
        const InputGradient& gradient = pool.terms[t].gradient;
        for (std::size_t c = 0; c < along.size(); ++c) {
          coefficients_[t][c] = static_cast<Compute<T>>(gradient.a[c]);
          if (gradient.b.empty()) continue;
          along[c] += gradient.b[c];
          shift[c] += gradient.d[c];
        }
        terms_.push_back({rows<const T>(g[pool.terms[t].edge]), coefficients_[t].data()});
      }
      for (std::size_t c = 0; c < along.size(); ++c) {
        coefficients_[pool.terms.size()][c] = static_cast<Compute<T>>(along[c]);
        coefficients_[pool.terms.size() + 1][c] = static_cast<Compute<T>>(shift[c]);
      }
      terms_.push_back({rows<const T>(pool.x), coefficients_[pool.terms.size()].data()});
    }

    [[nodiscard]] bool empty() const { return pool_.terms.empty(); }

    [[nodiscard]] std::unique_ptr<T[]> of(ImageRange block) const {
      const PixelRange range = pixels_of(pool_.x, block);
      auto out = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>((range.end - range.begin) * channels_));
      weighted_sum<T>(terms_, coefficients_.back().data(), {}, {}, range, channels_,
                      {out.get() - range.begin * channels_, channels_}, {});
      return out;
    }

   private:
    const PoolRun& pool_;
    std::int64_t channels_;
    std::vector<std::vector<Compute<T>>> coefficients_;  // of each term, of the pool's output, the shift
    std::vector<ScaledTerm<T>> terms_;
  };

  /// dL/dx of a block of images: convolutions, pools and identities together.
  template <class T>
  class InputSum {
   public:
    explicit InputSum(const StateBackward& backward)
        : run_(backward.run_),
          channels_(backward.channels_),
          result_(backward.result_[0]),
          geometry_{.height = run_.x.size(2), .width = run_.x.size(3), .stride = run_.plan->stride},
          max_(run_.max_pool, backward.g_, channels_),
          average_(run_.average_pool, backward.g_, channels_),
          skip_terms_(terms_of(backward)),
          skips_(skip_terms_, channels_),
          ones_(static_cast<std::size_t>(channels_), Compute<T>(1)) {}

    /// dx: what the convolutions give for the rectified x; null: there are none.
    void operator()(ImageRange block, const T* dx) const {
      const PixelRange range = pixels_of(run_.x, block);
      const std::int64_t before = range.begin * channels_;
      std::vector<ScaledTerm<T>> terms;
      const auto add = [&](const T* own) { terms.push_back({{own - before, channels_}, ones_.data()}); };
      std::vector<Rows<const T>> gated;
      if (dx != nullptr) gated.push_back({dx - before, channels_});
      std::unique_ptr<T[]> max, average;
      if (!max_.empty()) {
        max = pool_gradient(max_, block, [&](const T* g, std::int64_t at, T* to) {
          max_pool_backward<T>(g, elements<T>(run_.x) + before + at, geometry_, channels_, to);
        });
        add(max.get());
      }
      if (!average_.empty()) {
        average = pool_gradient(average_, block, [&](const T* g, std::int64_t, T* to) {
          average_pool_backward<T>(g, geometry_, channels_, to);
        });
        add(average.get());
      }
      skips_(range, rows<T>(result_), {}, terms, gated, rows<const T>(run_.x));
    }

   private:
    /// f(gradient of the pool of an image, where the image begins in the block, gradient of the image), image by image.
    template <class F>
    std::unique_ptr<T[]> pool_gradient(const PoolGradient<T>& pool, ImageRange block, const F& f) const {
      const std::int64_t in = geometry_.height * geometry_.width * channels_;
      const std::int64_t out = geometry_.out_height() * geometry_.out_width() * channels_;
      const std::unique_ptr<T[]> g = pool.of(block);
      auto dx = scratch<T>((block.end - block.begin) * in);
      for (std::int64_t i = 0; i < block.end - block.begin; ++i) f(g.get() + i * out, i * in, dx.get() + i * in);
      return dx;
    }

    static std::vector<Term> terms_of(const StateBackward& backward) {
      std::vector<Term> skips;
      for (const SkipRun& skip : backward.run_.skips) {
        const Tensor& g = backward.g_[skip.out.edge];
        skips.push_back(without_norm(skip.mask.defined() ? channels_last(g * skip.mask) : g, skip.out.term.weight));
      }
      return skips;
    }

    const StateRun& run_;
    std::int64_t channels_;
    Tensor result_;
    PoolGeometry geometry_;
    PoolGradient<T> max_, average_;
    std::vector<Term> skip_terms_;  // owns what skips_ reads
    WeightedSum<T> skips_;
    std::vector<Compute<T>> ones_;
  };

  void run_reduces() {
    if (run_.reduces.empty()) return;
    const std::int64_t half = channels_ / 2;
    Tensor even, odd;  // their gradients
    for (const ReduceRun& reduce : run_.reduces) {
      const Tensor& y = reduce.out.term.x;
      const Tensor dy = empty_channels_last(y);
      with_type(y.scalar_type(), [&]<class T>() {
        const GradientWriter<T> writer(reduce.out.gradient);
        Parts(pixel_count(y), channels_).for_each([&](std::int64_t, PixelRange range) {
          writer(rows<const T>(g_[reduce.out.edge]), {}, rows<const T>(y), range, rows<T>(dy));
        });
      });
      const auto backward = [&](std::int64_t from, const Tensor& in, const Tensor& matrix, std::size_t weight,
                                std::size_t bias, Tensor& sum) {
        const Tensor own = matrix_of(dy, 0, batch_).narrow(1, from, half);
        if (weights_need_) {
          result_[weight] = at::mm(own.t(), matrix_of(in, 0, batch_)).unsqueeze(2).unsqueeze(3);
          if (bias != Variables::none) result_[bias] = own.sum(0);
        }
        if (input_needs_) add_to(sum, at::mm(own, matrix));
      };
      backward(0, run_.even, reduce.matrix1, reduce.weight1, reduce.bias1, even);
      backward(half, run_.odd, reduce.matrix2, reduce.weight2, reduce.bias2, odd);
    }
    if (!input_needs_) return;
    const auto add = [&](const Tensor& in, const Tensor& sum, std::int64_t start) {
      const Tensor gated = sum.view({batch_, in.size(2), in.size(3), channels_}).permute({0, 3, 1, 2}) * (in > 0);
      result_[0].slice(2, start, {}, 2).slice(3, start, {}, 2).add_(gated);
    };
    add(run_.even, even, 0);
    add(run_.odd, odd, 1);
  }

  StateRun& run_;
  std::int64_t channels_, batch_;
  bool input_needs_, alphas_need_, weights_need_ = false;
  torch::autograd::variable_list result_;
  std::vector<Tensor> g_;  // of the edges
};

// ---- Autograd ----

/// A run's places, in the order in which read_state() hands the variables over.
class Places {
 public:
  explicit Places(Variables& variables) : variables_(variables) {}

  StagePlaces of(const SeparableConv& conv) {
    return {variables_.add(conv.depthwise().weight), variables_.add(conv.pointwise().weight),
            variables_.add(conv.pointwise().bias)};
  }

 private:
  Variables& variables_;
};

Stage make_stage(const SeparableConv& conv, const StagePlaces& places, const Tensor& x, std::int64_t height,
                 std::int64_t width) {
  const Tensor depthwise = conv.depthwise().weight.detach(), pointwise = conv.pointwise().weight.detach();
  const auto sum_type = x.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
  const std::int64_t kernel = depthwise.size(2);
  const Tensor matrix = pointwise.reshape({pointwise.size(0), -1}).to(sum_type).contiguous();
  const Tensor bias = conv.pointwise().bias;
  return {.conv = &conv,
          .places = places,
          .shape = {.height = height,
                    .width = width,
                    .channels = depthwise.size(0),
                    .kernel = kernel,
                    .stride = conv.stride(),
                    .padding = conv.dilation() * (kernel / 2),
                    .dilation = conv.dilation(),
                    .relu_input = true},
          .taps = depthwise.to(sum_type).reshape({depthwise.size(0), -1}).t().contiguous(),
          .matrix = matrix,
          .matrix_t = matrix.t().contiguous(),
          .bias = bias.defined() ? bias.detach().to(sum_type) : Tensor(),
          .y = {},
          .norm = {}};
}

class StateFunction : public torch::autograd::Function<StateFunction> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, torch::TensorList variables,
                                                const c10::intrusive_ptr<StateRun>& run) {
    const Tensor op_weights = variables[1].detach().to(torch::kDouble).contiguous();
    const double* values = op_weights.const_data_ptr<double>();
    run->for_each_term([&](EdgeTerm& term) { term.term.weight = values[term.place]; });
    run->variable_count = variables.size();
    torch::autograd::variable_list outputs = StateForward(*run, variables)();
    context->save_for_backward({variables[0]});  // for the check alone that nobody changed it in place
    context->saved_data["op weights"] = op_weights.numel();
    context->saved_data["run"] = torch::IValue::make_capsule(run);
    return outputs;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "a fused cell: its gradient is not differentiable");
    context->get_saved_variables();
    const auto run = c10::static_intrusive_pointer_cast<StateRun>(context->saved_data["run"].toCapsule());
    auto result = StateBackward(*context, *run, gradients)(context->saved_data["op weights"].toInt());
    result.resize(run->variable_count + 1);  // and the argument that is no variable
    return result;
  }
};

void show_candidates(StateRun& run, const CandidateObserver& observer) {
  run.for_each_term([&](const EdgeTerm& own) {
    Term alone = own.term;
    alone.weight = 1.0;
    Tensor output = alone.x;
    if (alone.norm) {
      output = empty_channels_last(alone.x);
      sum_terms(std::span(&alone, 1), output);
    }
    observer(own.place, output.scalar_type() == torch::kBFloat16 ? output.to(torch::kFloat) : output);
  });
}

}  // namespace

std::vector<Tensor> read_state(const std::shared_ptr<const StatePlan>& plan, const Tensor& x, const Tensor& op_weights,
                               const CandidateObserver& observer) {
  check_activations("a fused cell", x, /*takes_gpu=*/false);
  auto run = c10::make_intrusive<StateRun>();
  run->plan = plan;
  run->x = channels_last(x.detach());
  Variables variables{{x, op_weights}};
  Places places(variables);
  for (const StatePlan::Conv& conv : plan->convs) {
    const std::int64_t height = x.size(2), width = x.size(3), step = plan->stride;
    ConvRun& own = run->convs.emplace_back(ConvRun{
        make_stage(*conv.first, places.of(*conv.first), run->x, height, width), {}, {conv.edge, conv.weight, {}}});
    if (conv.second != nullptr) {
      own.second = make_stage(*conv.second, places.of(*conv.second), run->x, height / step, width / step);
    }
  }
  for (const auto& pool : plan->max_pools) run->max_pool.terms.push_back({pool.edge, pool.weight, {}});
  for (const auto& pool : plan->average_pools) run->average_pool.terms.push_back({pool.edge, pool.weight, {}});
  for (const StatePlan::Skip& skip : plan->skips) {
    const Tensor mask = skip.op->mask(run->x);
    const Tensor own = mask.defined() ? channels_last(run->x * mask) : run->x;
    run->skips.push_back({mask, {skip.edge, skip.weight, without_norm(own, 1.0)}});
  }
  for (const StatePlan::Reduce& reduce : plan->reduces) {
    const auto matrix = [&](const torch::nn::Conv2dImpl& conv) {
      return conv.weight.detach().flatten(1).to(x.scalar_type());
    };
    const auto &conv1 = reduce.op->conv1(), &conv2 = reduce.op->conv2();
    const std::size_t weight1 = variables.add(conv1.weight), weight2 = variables.add(conv2.weight);
    const std::size_t bias1 = variables.add(conv1.bias), bias2 = variables.add(conv2.bias);
    run->reduces.push_back(
        {weight1, weight2, bias1, bias2, matrix(conv1), matrix(conv2), {reduce.edge, reduce.weight, {}}});
  }
  if (plan->edges == 0) return {};
  std::vector<Tensor> outputs = StateFunction::apply(torch::TensorList(variables.tensors), run);
  if (observer) show_candidates(*run, observer);
  return outputs;
}

}  // namespace flowdarts::darts
