#include <flowdarts/spaces/darts/fused_state.hpp>
#include <flowdarts/spaces/mixed_op/depthwise_kernels.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/mix_kernels.hpp>
#include <flowdarts/spaces/mixed_op/pool_kernels.hpp>

namespace flowdarts::darts {
namespace {

using namespace mixed_op;
using torch::Tensor;

/// Bytes of depthwise outputs that are worked on together: by shapes alone, so that results do not depend on the number
/// of threads.
constexpr std::int64_t group_bytes = std::int64_t{8} << 20;

/// Where the variables of a separable convolution stand.
struct StagePlaces {
  std::size_t depthwise, pointwise, bias;
};

/// A separable convolution and its batch norm: what it reads of its parameters, and what it gave.
struct Stage {
  const SeparableConv* conv;
  StagePlaces places;
  DepthwiseShape shape;
  Tensor taps;       // [k * k, C] in the type sums are taken in
  Tensor pointwise;  // [C, C], of x's type
  Tensor y;          // before the batch norm
  Normalisation norm;

  [[nodiscard]] std::int64_t out_image() const { return shape.out_height() * shape.out_width() * shape.channels; }
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

/// f(first, count) for groups of images that follow one another, `bytes` an image.
template <class F>
void for_groups(std::int64_t batch, std::int64_t bytes, const F& f) {
  const std::int64_t step = std::clamp<std::int64_t>(group_bytes / std::max<std::int64_t>(1, bytes), 1, batch);
  for (std::int64_t first = 0; first < batch; first += step) f(first, std::min(step, batch - first));
}

template <class F>
void in_parallel(std::int64_t count, const F& f) {
  at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) f(i);
  });
}

/// [pixels, channels] of the images [first, first + count) of a channels-last tensor.
Tensor matrix_of(const Tensor& x, std::int64_t first, std::int64_t count) {
  return x.narrow(0, first, count).permute({0, 2, 3, 1}).view({-1, x.size(1)});
}

/// A buffer for [pixels, channels] of a group of images, [count, H, W, C] in memory.
Tensor buffer(std::int64_t count, std::int64_t image_size, const Tensor& like) {
  return torch::empty({count * image_size}, like.options());
}

/// The first images of a buffer as a matrix of rows of `channels`.
Tensor rows_of(const Tensor& buffer, std::int64_t count, std::int64_t image_size, std::int64_t channels) {
  return buffer.narrow(0, 0, count * image_size).view({-1, channels});
}

PixelRange pixels_of(const Tensor& x, std::int64_t image) {
  const std::int64_t size = x.size(2) * x.size(3);
  return {image * size, (image + 1) * size};
}

Term without_norm(const Tensor& x, double weight) {
  return {.x = x, .weight = weight};
}

// ---- Forward ----

class StateForward {
 public:
  StateForward(StateRun& run, torch::TensorList variables) : run_(run), variables_(variables) {}

  std::vector<Tensor> operator()() {
    run_pools();
    run_convs();
    run_reduces();
    std::vector<std::vector<Term>> terms(run_.plan->edges);
    run_.for_each_term([&](EdgeTerm& term) {
      if (term.term.weight != 0.0) terms[term.edge].push_back(term.term);
    });
    const std::int64_t step = run_.plan->stride;
    const std::array<std::int64_t, 4> sizes{run_.x.size(0), run_.x.size(1), run_.x.size(2) / step,
                                            run_.x.size(3) / step};
    std::vector<Tensor> outputs;
    for (const auto& own : terms) {
      const Tensor& out = outputs.emplace_back(empty_channels_last(sizes, run_.x));
      with_type(out.scalar_type(), [&]<class T>() {
        const WeightedSum<T> sum(own, out.size(1));
        Parts(pixel_count(out), out.size(1)).for_each([&](std::int64_t, PixelRange range) {
          sum(range, rows<T>(out), {});
        });
      });
    }
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
        in_parallel(run_.x.size(0), [&](std::int64_t image) {
          const T* in = elements<T>(run_.x) + image * geometry.height * geometry.width * channels;
          T* out = mutable_elements<T>(pool->x) + image * geometry.out_height() * geometry.out_width() * channels;
          (pool == &run_.max_pool ? max_pool<T> : average_pool<T>)(in, geometry, channels, out);
        });
      });
      const auto& plans = pool == &run_.max_pool ? run_.plan->max_pools : run_.plan->average_pools;
      // One pass for the statistics of all edges: they see the same pixels.
      Moments batch;
      if (std::ranges::any_of(plans,
                              [](const auto& p) { return p.norm != nullptr && p.norm->uses_batch_statistics(); })) {
        batch = moments(pool->x);
      }
      for (std::size_t i = 0; i < plans.size(); ++i) {
        pool->terms[i].term.x = pool->x;
        if (plans[i].norm != nullptr) pool->terms[i].term.norm = normalise(*plans[i].norm, batch);
      }
    }
  }

  // The convolutions that read x, all of them image by image; then the second ones, each on its own.
  void run_convs() {
    std::vector<Tensor> z;
    std::vector<Moments> batch(run_.convs.size());
    std::int64_t bytes = 0;
    for (ConvRun& conv : run_.convs) {
      bytes += conv.first.out_image() * run_.x.element_size();
      make_output(conv.first);
    }
    const auto convs = static_cast<std::int64_t>(run_.convs.size());
    for_groups(run_.x.size(0), bytes, [&](std::int64_t first, std::int64_t count) {
      if (first == 0) {
        for (const ConvRun& conv : run_.convs) z.push_back(buffer(count, conv.first.out_image(), run_.x));
      }
      with_type(run_.x.scalar_type(), [&]<class T>() {
        in_parallel(count * convs, [&](std::int64_t task) {
          const std::int64_t image = task / convs, c = task % convs;
          const Stage& stage = run_.convs[c].first;
          depthwise<T>(elements<T>(run_.x) + (first + image) * stage.in_image(), elements<Compute<T>>(stage.taps),
                       stage.shape, {0, stage.shape.out_height()},
                       mutable_elements<T>(z[c]) + image * stage.out_image());
        });
      });
      for (std::size_t c = 0; c < run_.convs.size(); ++c) multiply(run_.convs[c].first, z[c], first, count, batch[c]);
    });
    for (std::size_t c = 0; c < run_.convs.size(); ++c) {
      ConvRun& conv = run_.convs[c];
      conv.first.norm = normalise(conv.first.conv->norm(), batch[c]);
      if (conv.second) run_second(conv);
      conv.out.term.x = conv.last().y;
      conv.out.term.norm = conv.last().norm;
    }
  }

  void run_second(ConvRun& conv) {
    Stage& stage = *conv.second;
    make_output(stage);
    Tensor u, z;
    Moments batch;
    for_groups(run_.x.size(0), 2 * stage.out_image() * run_.x.element_size(),
               [&](std::int64_t first, std::int64_t count) {
                 if (first == 0) {
                   u = buffer(count, stage.in_image(), run_.x);
                   z = buffer(count, stage.out_image(), run_.x);
                 }
                 with_type(run_.x.scalar_type(), [&]<class T>() {
                   const Term between{.x = conv.first.y, .norm = conv.first.norm};
                   const WeightedSum<T> normalised(std::span(&between, 1), stage.shape.channels);
                   in_parallel(count, [&](std::int64_t image) {
                     T* own = mutable_elements<T>(u) + image * stage.in_image();
                     const PixelRange pixels = pixels_of(conv.first.y, first + image);
                     normalised(pixels, {own - pixels.begin * stage.shape.channels, stage.shape.channels}, {});
                     depthwise<T>(own, elements<Compute<T>>(stage.taps), stage.shape, {0, stage.shape.out_height()},
                                  mutable_elements<T>(z) + image * stage.out_image());
                   });
                 });
                 multiply(stage, z, first, count, batch);
               });
    stage.norm = normalise(stage.conv->norm(), batch);
  }

  void make_output(Stage& stage) const {
    stage.y = empty_channels_last(
        {run_.x.size(0), stage.shape.channels, stage.shape.out_height(), stage.shape.out_width()}, run_.x);
  }

  /// The pointwise convolution of a group of images, and its statistics while it is in the cache.
  void multiply(Stage& stage, const Tensor& z, std::int64_t first, std::int64_t count, Moments& batch) const {
    Tensor out = matrix_of(stage.y, first, count);
    at::mm_out(out, rows_of(z, count, stage.out_image(), stage.shape.channels), stage.pointwise.t());
    if (stage.places.bias != Variables::none) out.add_(variables_[stage.places.bias].detach());
    if (stage.conv->norm().uses_batch_statistics()) {
      add_moments(batch, stage.y.narrow(0, first, count), 0, stage.shape.channels);
    }
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
      reduce.out.term.norm = normalise(norm, norm.uses_batch_statistics() ? moments(y) : Moments());
    }
  }

  StateRun& run_;
  torch::TensorList variables_;
};

// ---- Backward ----

/// Sums of groups are kept in float32 at least.
void add_to(Tensor& sum, const Tensor& part) {
  const Tensor wide = part.scalar_type() == torch::kBFloat16 ? part.to(torch::kFloat) : part;
  sum = sum.defined() ? sum.add_(wide) : wide;
}

void add_to(std::vector<double>& sum, std::span<const double> part) {
  sum.resize(part.size());
  for (std::size_t i = 0; i < part.size(); ++i) sum[i] += part[i];
}

/// The gradients of one separable convolution's weights.
struct StageGradients {
  std::vector<double> taps;  // [k * k, C]
  Tensor pointwise, bias;
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
    for (std::size_t e = 0; e < run_.plan->edges; ++e) {
      std::vector<EdgeTerm*> own;
      std::vector<const Term*> terms;
      run_.for_each_term([&](EdgeTerm& term) {
        if (term.edge != e) return;
        if (!term.term.norm) term.gradient.a.assign(static_cast<std::size_t>(channels_), term.term.weight);
        const bool normalised = (input_needs_ || weights_need_) && term.term.norm.has_value();
        if (!alphas_need_ && !normalised) return;
        own.push_back(&term);
        terms.push_back(&term.term);
      });
      const Sums sums = mixed_op::reduce(g_[e], {}, terms);
      for (std::size_t t = 0; t < own.size(); ++t) {
        EdgeTerm& term = *own[t];
        const std::span<const double> dot = sums.dot(t);
        if (term.term.norm) {
          alpha[term.place] = term_gradient(*term.term.norm, term.term.weight, sums.total, dot).weight;
          term.gradient = input_gradient(*term.term.norm, term.term.weight, sums.total, dot);
        } else {
          for (const double value : dot) alpha[term.place] += value;
        }
      }
    }
    if (alphas_need_) result_[1] = alpha_gradient;
  }

  /// Row-wise buffers of a group of images for one separable convolution.
  struct Buffers {
    Tensor dy, dz, z, u, dx;
  };

  // First the second convolutions of sep_convs, each on its own; then all that read x, group by group.
  template <class T>
  void run_convs() {
    struct Reader {
      const Stage* stage;
      Tensor g;  // of what its batch norm gave
      InputGradient gradient;
      StageGradients sums;
      Buffers buffers;
    };
    std::vector<Reader> readers;
    std::int64_t bytes = 0;
    for (ConvRun& conv : run_.convs) {
      // What the mask of a search has switched off costs nothing.
      if (conv.out.term.weight == 0.0) {
        zero(conv.first);
        if (conv.second) zero(*conv.second);
        continue;
      }
      Reader reader{&conv.first, g_[conv.out.edge], conv.out.gradient, {}, {}};
      if (conv.second) reader.g = second_backward<T>(conv, reader.gradient);
      readers.push_back(std::move(reader));
      bytes += conv.first.out_image() * run_.x.element_size();
    }
    const auto count_of = static_cast<std::int64_t>(readers.size());
    std::vector<GradientWriter<T>> writers;
    for (const Reader& reader : readers) writers.emplace_back(reader.gradient);
    for_groups(batch_, bytes, [&](std::int64_t first, std::int64_t count) {
      for (Reader& reader : readers) {
        if (first == 0) make_buffers(reader.buffers, *reader.stage, count, /*needs_u=*/false);
      }
      std::vector<std::vector<double>> taps(readers.size());
      for (std::size_t r = 0; r < readers.size(); ++r)
        taps[r].resize(weights_need_ ? count * tap_count(*readers[r].stage) : 0);
      in_parallel(count * count_of, [&](std::int64_t task) {
        const std::int64_t image = task / count_of, r = task % count_of;
        write_output_gradient<T>(writers[r], readers[r].g, *readers[r].stage, first, image, readers[r].buffers);
      });
      for (Reader& reader : readers) multiply(*reader.stage, reader.buffers, count);
      in_parallel(count * count_of, [&](std::int64_t task) {
        const std::int64_t image = task / count_of, r = task % count_of;
        const Stage& stage = *readers[r].stage;
        Buffers& b = readers[r].buffers;
        const T* x = elements<T>(run_.x) + (first + image) * stage.in_image();
        T* dx = input_needs_ ? mutable_elements<T>(b.dx) + image * stage.in_image() : nullptr;
        depthwise_backward<T>(stage, b, x, image, dx, taps[r]);
      });
      for (std::size_t r = 0; r < readers.size(); ++r) {
        add_weight_gradients(*readers[r].stage, readers[r].buffers, count, taps[r], readers[r].sums);
      }
      if (!input_needs_) return;
      std::vector<const Tensor*> parts;
      for (const Reader& reader : readers) parts.push_back(&reader.buffers.dx);
      sum_input_gradients<T>(first, count, parts);
    });
    for (const Reader& reader : readers) store(*reader.stage, reader.sums);
  }

  // The gradient of what the first batch norm gave, before the ReLU; `gradient`: from it to that of its input.
  template <class T>
  Tensor second_backward(ConvRun& conv, InputGradient& gradient) {
    const Stage& stage = *conv.second;
    const Tensor du = empty_channels_last(conv.first.y);
    Buffers buffers;
    StageGradients sums;
    std::vector<double> total, dot;
    const GradientWriter<T> writer(gradient);
    const Term between{.x = conv.first.y, .norm = conv.first.norm};
    const WeightedSum<T> normalised(std::span(&between, 1), channels_);
    for_groups(batch_, 4 * stage.out_image() * run_.x.element_size(), [&](std::int64_t first, std::int64_t count) {
      if (first == 0) make_buffers(buffers, stage, count, /*needs_u=*/true);
      std::vector<double> taps(weights_need_ ? count * tap_count(stage) : 0);
      in_parallel(count, [&](std::int64_t image) {
        write_output_gradient<T>(writer, g_[conv.out.edge], stage, first, image, buffers);
        const PixelRange pixels = pixels_of(conv.first.y, first + image);
        T* own = mutable_elements<T>(buffers.u) + image * stage.in_image();
        normalised(pixels, {own - pixels.begin * channels_, channels_}, {});
      });
      multiply(stage, buffers, count);
      in_parallel(count, [&](std::int64_t image) {
        depthwise_backward<T>(stage, buffers, elements<T>(buffers.u) + image * stage.in_image(), image,
                              mutable_elements<T>(du) + (first + image) * stage.in_image(), taps);
      });
      add_weight_gradients(stage, buffers, count, taps, sums);
      if (!conv.first.norm.batch_statistics) return;
      const Term part{.x = conv.first.y.narrow(0, first, count), .norm = conv.first.norm};
      const Term* const terms[] = {&part};
      const Sums own = mixed_op::reduce(du.narrow(0, first, count), {}, terms);
      add_to(total, own.total);
      add_to(dot, own.dots);
    });
    store(stage, sums);
    gradient = input_gradient(conv.first.norm, 1.0, total, dot);
    return du;
  }

  void make_buffers(Buffers& b, const Stage& stage, std::int64_t count, bool needs_u) const {
    b.dy = buffer(count, stage.out_image(), run_.x);
    b.dz = buffer(count, stage.out_image(), run_.x);
    if (weights_need_) b.z = buffer(count, stage.out_image(), run_.x);
    if (needs_u) {
      b.u = buffer(count, stage.in_image(), run_.x);
    } else if (input_needs_) {
      b.dx = buffer(count, stage.in_image(), run_.x);
    }
  }

  // The gradient of a pointwise convolution's output of one image.
  template <class T>
  void write_output_gradient(const GradientWriter<T>& writer, const Tensor& g, const Stage& stage, std::int64_t first,
                             std::int64_t image, Buffers& b) const {
    const PixelRange pixels = pixels_of(stage.y, first + image);
    T* own = mutable_elements<T>(b.dy) + image * stage.out_image();
    writer(rows<const T>(g), {}, rows<const T>(stage.y), pixels, {own - pixels.begin * channels_, channels_});
  }

  void multiply(const Stage& stage, Buffers& b, std::int64_t count) const {
    Tensor dz = rows_of(b.dz, count, stage.out_image(), channels_);
    at::mm_out(dz, rows_of(b.dy, count, stage.out_image(), channels_), stage.pointwise);
  }

  // Of one image; x: what the convolution reads, before its ReLU. dx may be null.
  template <class T>
  void depthwise_backward(const Stage& stage, Buffers& b, const T* x, std::int64_t image, T* dx,
                          std::vector<double>& taps) const {
    const T* dz = elements<T>(b.dz) + image * stage.out_image();
    const RowRange out_rows{0, stage.shape.out_height()};
    if (weights_need_) {
      depthwise<T>(x, elements<Compute<T>>(stage.taps), stage.shape, out_rows,
                   mutable_elements<T>(b.z) + image * stage.out_image());
      depthwise_weight_gradient<T>(dz, x, stage.shape, out_rows, taps.data() + image * tap_count(stage));
    }
    if (dx == nullptr) return;
    depthwise_input_gradient<T>(dz, x, elements<Compute<T>>(stage.taps), stage.shape, {0, stage.shape.height}, dx);
  }

  [[nodiscard]] std::int64_t tap_count(const Stage& stage) const { return stage.shape.taps() * channels_; }

  void add_weight_gradients(const Stage& stage, const Buffers& b, std::int64_t count, std::span<const double> taps,
                            StageGradients& sums) const {
    if (!weights_need_) return;
    // In the order of images: the same bits for any number of threads.
    sums.taps.resize(static_cast<std::size_t>(tap_count(stage)));
    for (std::size_t i = 0; i < taps.size(); ++i) sums.taps[i % sums.taps.size()] += taps[i];
    const Tensor dy = rows_of(b.dy, count, stage.out_image(), channels_);
    add_to(sums.pointwise, at::mm(dy.t(), rows_of(b.z, count, stage.out_image(), channels_)));
    if (stage.places.bias != Variables::none) add_to(sums.bias, dy.sum(0));
  }

  void store(const Stage& stage, const StageGradients& sums) {
    if (!weights_need_) return;
    const std::int64_t kernel = stage.shape.kernel;
    result_[stage.places.depthwise] = torch::tensor(sums.taps, torch::kDouble)
                                          .view({kernel * kernel, channels_})
                                          .t()
                                          .contiguous()
                                          .view({channels_, 1, kernel, kernel});
    result_[stage.places.pointwise] = sums.pointwise.unsqueeze(2).unsqueeze(3);
    if (stage.places.bias != Variables::none) result_[stage.places.bias] = sums.bias;
  }

  void zero(const Stage& stage) {
    if (!weights_need_) return;
    result_[stage.places.depthwise] = torch::zeros_like(stage.conv->depthwise().weight);
    result_[stage.places.pointwise] = torch::zeros_like(stage.conv->pointwise().weight);
    if (stage.places.bias != Variables::none) {
      result_[stage.places.bias] = torch::zeros_like(stage.conv->pointwise().bias);
    }
  }

  // dL/dx of a group of images: convolutions, pools and identities together.
  template <class T>
  void sum_input_gradients(std::int64_t first, std::int64_t count, std::span<const Tensor* const> convs) {
    const std::int64_t pixels = run_.x.size(2) * run_.x.size(3), size = pixels * channels_;
    const std::vector<Compute<T>> ones(static_cast<std::size_t>(channels_), Compute<T>(1));
    const PoolGradient<T> max(run_.max_pool, g_, channels_), average(run_.average_pool, g_, channels_);
    const PoolGeometry geometry{.height = run_.x.size(2), .width = run_.x.size(3), .stride = run_.plan->stride};
    std::vector<Term> skips;
    for (const SkipRun& skip : run_.skips) {
      const Tensor& g = g_[skip.out.edge];
      skips.push_back(without_norm(skip.mask.defined() ? channels_last(g * skip.mask) : g, skip.out.term.weight));
    }
    const WeightedSum<T> sum(skips, channels_);
    in_parallel(count, [&](std::int64_t image) {
      const PixelRange range = pixels_of(run_.x, first + image);
      const std::int64_t before = range.begin * channels_;
      std::vector<ScaledTerm<T>> terms;
      for (const Tensor* conv : convs) {
        terms.push_back({{elements<T>(*conv) + image * size - before, channels_}, ones.data()});
      }
      std::array<std::unique_ptr<T[]>, 2> pooled;
      for (std::size_t p = 0; p < 2; ++p) {
        const PoolGradient<T>& pool = p == 0 ? max : average;
        if (pool.empty()) continue;
        const auto g = pool.of_image(first + image);
        pooled[p] = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(size));
        if (p == 0) {
          max_pool_backward<T>(g.get(), elements<T>(run_.x) + before, geometry, channels_, pooled[p].get());
        } else {
          average_pool_backward<T>(g.get(), geometry, channels_, pooled[p].get());
        }
        terms.push_back({{pooled[p].get() - before, channels_}, ones.data()});
      }
      sum(range, rows<T>(result_[0]), {}, terms);
    });
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

    [[nodiscard]] std::unique_ptr<T[]> of_image(std::int64_t image) const {
      const PixelRange range = pixels_of(pool_.x, image);
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
          .pointwise = pointwise.reshape({pointwise.size(0), -1}).to(x.scalar_type()),
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

}  // namespace

std::vector<Tensor> read_state(const std::shared_ptr<const StatePlan>& plan, const Tensor& x,
                               const Tensor& op_weights) {
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
  return StateFunction::apply(torch::TensorList(variables.tensors), run);
}

}  // namespace flowdarts::darts
