#include <cooperative_groups.h>

#include <flowdarts/spaces/mixed_op/device.cuh>
#include <flowdarts/spaces/mixed_op/mix_cuda.hpp>
#include <type_traits>

namespace flowdarts::mixed_op {
namespace {

constexpr int pixels_at_once = 4;     // of a thread that writes results
constexpr int pixels_in_float = 256;  // at most so many are summed before the sum goes to double

__host__ __device__ bool of_batch(TermNorm norm) {
  return norm == TermNorm::batch || norm == TermNorm::updating;
}

/// The work of all reductions: (term, segment, chunk of channels), shared out among blocks.
struct Item {
  int term;
  std::int64_t segment, chunk;

  __device__ Item(std::int64_t item, std::int64_t segments, int chunks)
      : term(static_cast<int>(item / (segments * chunks))), segment(item / chunks % segments), chunk(item % chunks) {}
};

/// The sum over segments of partials [segments, stride] at one place, in all lanes of the calling warp.
__device__ double sum_segments(const double* partials, std::int64_t segments, std::int64_t stride) {
  double sum = 0;
  for (std::int64_t s = threadIdx.x % 32; s < segments; s += 32) sum += partials[s * stride];
  return sum_over_warp(sum);
}

// What the caller's scratch memory holds. Scales and slopes come first: they are read in vectors of 16 bytes.

template <class T>
struct ForwardScratch {
  Compute<T>* scale;  // [terms, channels]
  double* offset;     // [terms, channels]
  double* partials;   // [terms, segments, 2, channels]: sums of x - shift and of its square

  __device__ ForwardScratch(void* memory, std::int64_t values)
      : scale(static_cast<Compute<T>*>(memory)),
        offset(static_cast<double*>(memory) + values),
        partials(static_cast<double*>(memory) + 2 * values) {}
};

template <class T>
struct BackwardScratch {
  Compute<T>*a, *b, *d;  // [terms, channels] each: dx = a g + b x + d
  double* along;         // [terms, channels]: what each channel adds to dL/dweight
  double* partials;      // [terms + 1, segments, channels]: sums of g (x - mean), then of g

  __device__ BackwardScratch(void* memory, std::int64_t values)
      : a(static_cast<Compute<T>*>(memory)),
        b(reinterpret_cast<Compute<T>*>(static_cast<double*>(memory) + values)),
        d(reinterpret_cast<Compute<T>*>(static_cast<double*>(memory) + 2 * values)),
        along(static_cast<double*>(memory) + 3 * values),
        partials(static_cast<double*>(memory) + 4 * values) {}
};

/// Sums of x - shift and of its square over the pixels [begin, end) of one segment that are the thread's own. The sums
/// in Compute<T> are about the first of at most pixels_in_float pixels: about any other value, one large outlier there
/// would cost the others their digits.
template <class T, int V>
__device__ void add_moments(Rows<const T> x, std::int64_t c, std::int64_t begin, std::int64_t end, int step,
                            double (&sums)[2 * V]) {
  using A = Compute<T>;
  A first[V];
  load<V>(x.data + c, first);
  for (std::int64_t p = begin; p < end;) {
    A centre[V], s1[V] = {}, s2[V] = {};
    load<V>(x.data + p * x.stride + c, centre);
    int n = 0;
#pragma unroll 4
    for (; n < pixels_in_float && p < end; ++n, p += step) {
      A value[V];
      load<V>(x.data + p * x.stride + c, value);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const A deviation = value[i] - centre[i];
        s1[i] += deviation;
        s2[i] += deviation * deviation;
      }
    }
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const double move = static_cast<double>(centre[i]) - static_cast<double>(first[i]);
      sums[i] += s1[i] + n * move;
      sums[V + i] += s2[i] + 2 * move * s1[i] + n * move * move;
    }
  }
}

template <class T>
struct ForwardArguments {
  MixForward<T> mix;
  std::int64_t segments, segment_size;
};

/// The partial sums of all terms that are normalised with the statistics of the batch.
template <class T, int V>
__device__ void reduce_moments(const ForwardArguments<T>& arguments, const ForwardScratch<T>& scratch,
                               const Split<V>& split, double* buffer) {
  const MixForward<T>& mix = arguments.mix;
  const std::int64_t channels = mix.channels, segments = arguments.segments;
  for (std::int64_t i = blockIdx.x; i < mix.count * segments * split.chunks; i += gridDim.x) {
    const Item item(i, segments, split.chunks);
    if (!of_batch(mix.terms[item.term].norm)) continue;  // the same for the whole block
    const std::int64_t c = split.channel(item.chunk);
    double sums[2 * V] = {};
    if (split.has_work(item.chunk, channels)) {
      const std::int64_t begin = item.segment * arguments.segment_size;
      const std::int64_t end = min(begin + arguments.segment_size, mix.pixels);
      add_moments<T, V>(mix.terms[item.term].x, c, begin + split.lane(), end, split.lanes, sums);
    }
    sum_over_lanes(sums, buffer, split);
    if (split.lane() == 0 && c < channels) {
      double* partials = scratch.partials + (item.term * segments + item.segment) * 2 * channels + c;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        partials[v] = sums[v];
        partials[channels + v] = sums[V + v];
      }
    }
  }
}

/// What a term's channel is normalised with.
struct BatchMoments {
  double count, mean, squares;  // pixels, and the sum of squared deviations from their mean
};

/// From the partial sums; for a whole warp.
template <class T>
__device__ BatchMoments moments_here(const ForwardArguments<T>& arguments, const ForwardScratch<T>& scratch, int t,
                                     std::int64_t c) {
  const std::int64_t channels = arguments.mix.channels, segments = arguments.segments;
  const double* partials = scratch.partials + t * segments * 2 * channels + c;
  const double s1 = sum_segments(partials, segments, 2 * channels);
  const double s2 = sum_segments(partials + channels, segments, 2 * channels);
  const auto count = static_cast<double>(arguments.mix.pixels);
  return {count, static_cast<double>(widen(arguments.mix.terms[t].x.data[c])) + s1 / count,
          max(s2 - s1 * s1 / count, 0.0)};
}

/// From the sums over all processes.
template <class T>
__device__ BatchMoments moments_of_all(const MixForward<T>& mix, int t, std::int64_t c) {
  const double* sums = mix.moments + t * 2 * mix.channels + c;
  const double count = mix.moments[2 * mix.count * mix.channels];
  const double mean = sums[0] / count;
  return {count, mean, max(sums[mix.channels] - count * mean * mean, 0.0)};
}

template <class T>
struct MomentsArguments {
  ForwardArguments<T> forward;
  double* moments;
};

template <class T, int V>
__global__ __launch_bounds__(block_threads) void moments_kernel(const __grid_constant__ MomentsArguments<T> arguments) {
  const MixForward<T>& mix = arguments.forward.mix;
  __shared__ double buffer[2 * V * block_threads];
  const ForwardScratch<T> scratch(mix.scratch, mix.count * mix.channels);
  reduce_moments<T, V>(arguments.forward, scratch, Split<V>(mix.channels), buffer);
  cooperative_groups::this_grid().sync();

  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * (block_threads / 32);
  const std::int64_t warp = static_cast<std::int64_t>(blockIdx.x) * (block_threads / 32) + threadIdx.x / 32;
  for (std::int64_t i = warp; i < mix.count * mix.channels; i += warps) {
    const auto t = static_cast<int>(i / mix.channels);
    const std::int64_t c = i % mix.channels;
    BatchMoments own{};
    if (of_batch(mix.terms[t].norm)) own = moments_here(arguments.forward, scratch, t, c);
    if (threadIdx.x % 32 != 0) continue;
    double* sums = arguments.moments + t * 2 * mix.channels + c;
    sums[0] = own.count * own.mean;
    sums[mix.channels] = own.squares + own.count * own.mean * own.mean;
  }
  if (warp == 0 && threadIdx.x == 0) {
    arguments.moments[2 * mix.count * mix.channels] = static_cast<double>(mix.pixels);
  }
}

template <class T, int V>
__global__ __launch_bounds__(block_threads) void forward_kernel(const __grid_constant__ ForwardArguments<T> arguments) {
  using A = Compute<T>;
  const MixForward<T>& mix = arguments.mix;
  const auto grid = cooperative_groups::this_grid();
  __shared__ double buffer[2 * V * block_threads];
  const Split<V> split(mix.channels);
  const std::int64_t channels = mix.channels;
  const ForwardScratch<T> scratch(mix.scratch, mix.count * channels);

  if (mix.moments == nullptr) {
    reduce_moments<T, V>(arguments, scratch, split, buffer);
    grid.sync();
  }

  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * (block_threads / 32);
  const std::int64_t warp = static_cast<std::int64_t>(blockIdx.x) * (block_threads / 32) + threadIdx.x / 32;
  for (std::int64_t i = warp; i < mix.count * channels; i += warps) {
    const auto t = static_cast<int>(i / channels);
    const std::int64_t c = i % channels;
    const MixForwardTerm<T>& term = mix.terms[t];
    double mean = 0, variance = 1;
    if (of_batch(term.norm)) {
      const BatchMoments batch =
          mix.moments != nullptr ? moments_of_all(mix, t, c) : moments_here(arguments, scratch, t, c);
      mean = batch.mean;
      variance = batch.squares / batch.count;
      if (threadIdx.x % 32 == 0 && term.norm == TermNorm::updating) {
        const auto move = [&](void* data, double batch) {
          const DeviceValues running{data, mix.wide};
          write(running, c, (1 - mix.momentum) * read(running, c, 0) + mix.momentum * batch);
        };
        move(term.running_mean, mean);
        move(term.running_var, batch.squares / (batch.count - 1));
      }
    } else if (term.norm == TermNorm::running) {
      mean = read({term.running_mean, mix.wide}, c, 0);
      variance = read({term.running_var, mix.wide}, c, 1);
    }
    if (threadIdx.x % 32 != 0) continue;
    const double weight = read(mix.weights, mix.terms[t].place, 1);
    double slope = weight, offset = 0;
    if (term.norm != TermNorm::none) {
      const double inverse_std = 1 / sqrt(variance + mix.eps);
      mix.statistics[t * 2 * channels + c] = mean;
      mix.statistics[(t * 2 + 1) * channels + c] = inverse_std;
      slope *= read({term.gamma, mix.wide}, c, 1) * inverse_std;
      offset = weight * read({term.beta, mix.wide}, c, 0) - slope * mean;
    }
    scratch.scale[i] = static_cast<A>(slope);
    scratch.offset[i] = weight == 0 ? 0 : offset;
  }
  grid.sync();

  const std::int64_t tile = static_cast<std::int64_t>(split.lanes) * pixels_at_once;
  const std::int64_t tiles = (mix.pixels + tile - 1) / tile;
  for (std::int64_t item = blockIdx.x; item < tiles * split.chunks; item += gridDim.x) {
    const std::int64_t chunk = item % split.chunks;
    if (!split.has_work(chunk, channels)) continue;  // nobody waits for anybody from here on
    const std::int64_t c = split.channel(chunk);
    const std::int64_t begin = item / split.chunks * tile + split.lane();
    double shift[V] = {};
    for (int t = 0; t < mix.count; ++t) {
#pragma unroll
      for (int v = 0; v < V; ++v) shift[v] += scratch.offset[t * channels + c + v];
    }
    A sum[pixels_at_once][V];
#pragma unroll
    for (int u = 0; u < pixels_at_once; ++u) {
#pragma unroll
      for (int v = 0; v < V; ++v) sum[u][v] = static_cast<A>(shift[v]);
    }
    for (int t = 0; t < mix.count; ++t) {
      if (read(mix.weights, mix.terms[t].place, 1) == 0) continue;
      const Rows<const T> x = mix.terms[t].x;
      A scale[V];
      load_coefficients<V>(scratch.scale + t * channels + c, scale);
#pragma unroll
      for (int u = 0; u < pixels_at_once; ++u) {
        const std::int64_t p = begin + u * split.lanes;
        if (p < mix.pixels) {
          A value[V];
          load<V>(x.data + p * x.stride + c, value);
#pragma unroll
          for (int v = 0; v < V; ++v) sum[u][v] += scale[v] * value[v];
        }
      }
    }
#pragma unroll
    for (int u = 0; u < pixels_at_once; ++u) {
      const std::int64_t p = begin + u * split.lanes;
      if (p >= mix.pixels) break;
      if (mix.out.data != nullptr) store<V>(sum[u], mix.out.data + p * mix.out.stride + c);
      if (mix.rectified.data == nullptr) continue;
#pragma unroll
      for (int v = 0; v < V; ++v) sum[u][v] = sum[u][v] < 0 ? A(0) : sum[u][v];  // NaN stays
      store<V>(sum[u], mix.rectified.data + p * mix.rectified.stride + c);
    }
  }
}

/// Loads g at pixel p, 0 where the gate is closed.
template <int V, class T>
__device__ void load_gated(Rows<const T> g, Rows<const T> gate, std::int64_t p, std::int64_t c, Compute<T> (&to)[V]) {
  load<V>(g.data + p * g.stride + c, to);
  if (gate.data == nullptr) return;
  Compute<T> open[V];
  load<V>(gate.data + p * gate.stride + c, open);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    if (!(open[v] > 0)) to[v] = 0;
  }
}

/// Adds g (x - centre), or g alone where x is null, over the thread's own pixels of [begin, end).
template <class T, int V>
__device__ void add_dots(Rows<const T> g, Rows<const T> gate, Rows<const T> x, const Compute<T> (&centre)[V],
                         std::int64_t c, std::int64_t begin, std::int64_t end, int step, double (&sums)[V]) {
  using A = Compute<T>;
  for (std::int64_t p = begin; p < end;) {
    A part[V] = {};
#pragma unroll 4
    for (int n = 0; n < pixels_in_float && p < end; ++n, p += step) {
      A slope[V], value[V];
      load_gated<V>(g, gate, p, c, slope);
      if (x.data != nullptr) {
        load<V>(x.data + p * x.stride + c, value);
#pragma unroll
        for (int v = 0; v < V; ++v) part[v] += slope[v] * (value[v] - centre[v]);
      } else {
#pragma unroll
        for (int v = 0; v < V; ++v) part[v] += slope[v];
      }
    }
#pragma unroll
    for (int v = 0; v < V; ++v) sums[v] += part[v];
  }
}

template <class T>
struct BackwardArguments {
  MixBackward<T> mix;
  std::int64_t segments, segment_size;
  bool totals;  // whether anything may need the sum of g
};

/// Whether anything needs the sum of g (x - mean) of a term.
template <class T>
__device__ bool needs_dot(const MixBackward<T>& mix, int t) {
  if (mix.dweights.data != nullptr) return true;
  const MixBackwardTerm<T>& term = mix.terms[t];
  return read(mix.weights, mix.terms[t].place, 1) != 0 &&
         (term.dgamma != nullptr || (of_batch(term.norm) && term.dx.data != nullptr));
}

template <class T>
bool needs_total(const MixBackward<T>& mix) {
  if (mix.dweights.data != nullptr || mix_needs_dots(mix)) return true;
  for (int t = 0; t < mix.count; ++t) {
    if (mix.terms[t].dgamma != nullptr || mix.terms[t].dbeta != nullptr) return true;
  }
  return false;
}

/// The partial sums of g (x - centre) of all terms that need it, then of g.
template <class T, int V>
__device__ void reduce_dots(const BackwardArguments<T>& arguments, const BackwardScratch<T>& scratch,
                            const Split<V>& split, double* buffer) {
  using A = Compute<T>;
  const MixBackward<T>& mix = arguments.mix;
  const std::int64_t channels = mix.channels, segments = arguments.segments;
  for (std::int64_t i = blockIdx.x; i < (mix.count + 1) * segments * split.chunks; i += gridDim.x) {
    const Item item(i, segments, split.chunks);
    const bool total = item.term == mix.count;
    if (total ? !arguments.totals : !needs_dot(mix, item.term)) continue;  // the same for the whole block
    const std::int64_t c = split.channel(item.chunk);
    double sums[V] = {};
    if (split.has_work(item.chunk, channels)) {
      A centre[V] = {};
      if (!total && mix.terms[item.term].norm != TermNorm::none) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          centre[v] = static_cast<A>(mix.statistics[item.term * 2 * channels + c + v]);
        }
      }
      const std::int64_t begin = item.segment * arguments.segment_size;
      const std::int64_t end = min(begin + arguments.segment_size, mix.pixels);
      add_dots<T, V>(mix.g, mix.gate, total ? Rows<const T>() : mix.terms[item.term].x, centre, c, begin + split.lane(),
                     end, split.lanes, sums);
    }
    sum_over_lanes(sums, buffer, split);
    if (split.lane() == 0 && c < channels) {
      double* partials = scratch.partials + (item.term * segments + item.segment) * channels + c;
#pragma unroll
      for (int v = 0; v < V; ++v) partials[v] = sums[v];
    }
  }
}

/// The sum of g over the pixels of a channel, from the partial sums; for a whole warp.
template <class T>
__device__ double total_here(const BackwardArguments<T>& arguments, const BackwardScratch<T>& scratch, std::int64_t c) {
  if (!arguments.totals) return 0;
  const std::int64_t channels = arguments.mix.channels, segments = arguments.segments;
  return sum_segments(scratch.partials + arguments.mix.count * segments * channels + c, segments, channels);
}

/// The same of g (x - mean), or of g x without a norm. total: of the channel.
template <class T>
__device__ double dot_here(const BackwardArguments<T>& arguments, const BackwardScratch<T>& scratch, int t,
                           std::int64_t c, double total) {
  const MixBackward<T>& mix = arguments.mix;
  if (!needs_dot(mix, t)) return 0;
  const double dot =
      sum_segments(scratch.partials + t * arguments.segments * mix.channels + c, arguments.segments, mix.channels);
  if (mix.terms[t].norm == TermNorm::none) return dot;
  const double mean = mix.statistics[t * 2 * mix.channels + c];
  // What the centre lost when it was rounded.
  return dot + (static_cast<double>(static_cast<Compute<T>>(mean)) - mean) * total;
}

template <class T>
struct DotsArguments {
  BackwardArguments<T> backward;
  double* dots;
};

template <class T, int V>
__global__ __launch_bounds__(block_threads) void dots_kernel(const __grid_constant__ DotsArguments<T> arguments) {
  const MixBackward<T>& mix = arguments.backward.mix;
  __shared__ double buffer[V * block_threads];
  const BackwardScratch<T> scratch(mix.scratch, mix.count * mix.channels);
  reduce_dots<T, V>(arguments.backward, scratch, Split<V>(mix.channels), buffer);
  cooperative_groups::this_grid().sync();

  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * (block_threads / 32);
  const std::int64_t warp = static_cast<std::int64_t>(blockIdx.x) * (block_threads / 32) + threadIdx.x / 32;
  for (std::int64_t i = warp; i < (mix.count + 1) * mix.channels; i += warps) {
    const auto t = static_cast<int>(i / mix.channels);
    const std::int64_t c = i % mix.channels;
    double sum = total_here(arguments.backward, scratch, c);
    if (t < mix.count) sum = dot_here(arguments.backward, scratch, t, c, sum);
    if (threadIdx.x % 32 == 0) arguments.dots[i] = sum;
  }
}

template <class T, int V>
__global__ __launch_bounds__(block_threads) void backward_kernel(
    const __grid_constant__ BackwardArguments<T> arguments) {
  using A = Compute<T>;
  const MixBackward<T>& mix = arguments.mix;
  const auto grid = cooperative_groups::this_grid();
  __shared__ double buffer[V * block_threads];
  const Split<V> split(mix.channels);
  const std::int64_t channels = mix.channels;
  const BackwardScratch<T> scratch(mix.scratch, mix.count * channels);
  const bool shared = mix.dots != nullptr;

  if (!shared) {
    reduce_dots<T, V>(arguments, scratch, split, buffer);
    grid.sync();
  }

  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * (block_threads / 32);
  const std::int64_t warp = static_cast<std::int64_t>(blockIdx.x) * (block_threads / 32) + threadIdx.x / 32;
  for (std::int64_t i = warp; i < mix.count * channels; i += warps) {
    const auto t = static_cast<int>(i / channels);
    const std::int64_t c = i % channels;
    const MixBackwardTerm<T>& term = mix.terms[t];
    const double total = shared ? mix.dots[mix.count * channels + c] : total_here(arguments, scratch, c);
    const double dot = shared ? mix.dots[i] : dot_here(arguments, scratch, t, c, total);
    if (threadIdx.x % 32 != 0) continue;
    const double weight = read(mix.weights, mix.terms[t].place, 1);
    double slope = weight, along_x = 0, shift = 0, along_weight = dot;
    if (term.norm != TermNorm::none) {
      const double mean = mix.statistics[t * 2 * channels + c];
      const double inverse_std = mix.statistics[(t * 2 + 1) * channels + c];
      const double gamma = read({term.gamma, mix.wide}, c, 1);
      const double along = inverse_std * dot;  // sum of g xhat
      along_weight = gamma * along + read({term.beta, mix.wide}, c, 0) * total;
      if (term.dgamma != nullptr) write({term.dgamma, mix.wide}, c, weight * along);
      if (term.dbeta != nullptr) write({term.dbeta, mix.wide}, c, weight * total);
      slope *= gamma * inverse_std;
      if (of_batch(term.norm)) {
        const double count = shared ? *mix.all_pixels : static_cast<double>(mix.pixels);
        const double all_dot = shared ? mix.all_dots[i] : dot;
        const double all_total = shared ? mix.all_dots[mix.count * channels + c] : total;
        along_x = -slope * inverse_std * inverse_std * all_dot / count;
        shift = -slope * all_total / count - along_x * mean;
      }
    }
    scratch.along[i] = along_weight;
    scratch.a[i] = static_cast<A>(slope);
    scratch.b[i] = static_cast<A>(along_x);
    scratch.d[i] = static_cast<A>(shift);
  }
  grid.sync();

  if (mix.dweights.data != nullptr) {
    for (std::int64_t t = warp; t < mix.count; t += warps) {
      const double sum = sum_segments(scratch.along + t * channels, channels, 1);
      if (threadIdx.x % 32 == 0) write(mix.dweights, mix.terms[t].place, sum);
    }
  }
  const std::int64_t tile = static_cast<std::int64_t>(split.lanes) * pixels_at_once;
  const std::int64_t tiles = (mix.pixels + tile - 1) / tile;
  for (std::int64_t item = blockIdx.x; item < tiles * split.chunks; item += gridDim.x) {
    const std::int64_t chunk = item % split.chunks;
    if (!split.has_work(chunk, channels)) continue;  // nobody waits for anybody from here on
    const std::int64_t c = split.channel(chunk);
    const std::int64_t begin = item / split.chunks * tile + split.lane();
    A g[pixels_at_once][V] = {};
#pragma unroll
    for (int u = 0; u < pixels_at_once; ++u) {
      const std::int64_t p = begin + u * split.lanes;
      if (p < mix.pixels) load_gated<V>(mix.g, mix.gate, p, c, g[u]);
    }
    for (int t = 0; t < mix.count; ++t) {
      const MixBackwardTerm<T>& term = mix.terms[t];
      if (term.dx.data == nullptr) continue;
      const bool closed = read(mix.weights, mix.terms[t].place, 1) == 0;
      A a[V], b[V], d[V];
      load_coefficients<V>(scratch.a + t * channels + c, a);
      load_coefficients<V>(scratch.b + t * channels + c, b);
      load_coefficients<V>(scratch.d + t * channels + c, d);
#pragma unroll
      for (int u = 0; u < pixels_at_once; ++u) {
        const std::int64_t p = begin + u * split.lanes;
        if (p >= mix.pixels) break;
        A value[V] = {};
        if (!closed) {
          if (of_batch(term.norm)) {
            load<V>(term.x.data + p * term.x.stride + c, value);
#pragma unroll
            for (int v = 0; v < V; ++v) value[v] = b[v] * value[v] + d[v];
          }
#pragma unroll
          for (int v = 0; v < V; ++v) value[v] += a[v] * g[u][v];
        }
        store<V>(value, term.dx.data + p * term.dx.stride + c);
      }
    }
  }
}

std::int64_t blocks_for(int reductions, std::int64_t pixels, std::int64_t channels, const Segments& segments, int lanes,
                        int chunks) {
  const std::int64_t reducing = reductions * segments.count * chunks;
  const std::int64_t tile = static_cast<std::int64_t>(lanes) * pixels_at_once;
  const std::int64_t writing = (pixels + tile - 1) / tile * chunks;
  const std::int64_t finishing = (reductions * channels + block_threads / 32 - 1) / (block_threads / 32);
  return max(max(reducing, writing), finishing);
}

// What every driver takes as the arguments of a kernel.
static_assert(sizeof(MomentsArguments<float>) <= 4096 && sizeof(DotsArguments<float>) <= 4096);

/// Enqueues a kernel with these arguments; `reductions`: the sums over all pixels that it may make.
template <int V, class Arguments>
std::string launch(void (*kernel)(Arguments), const Arguments& arguments, int reductions, std::int64_t pixels,
                   std::int64_t channels, void* stream, const char* action) {
  const Split<V> split(channels);
  return launch_cooperative(
      kernel, arguments,
      blocks_for(reductions, pixels, channels, Segments(pixels, channels), split.lanes, split.chunks),
      static_cast<cudaStream_t>(stream), action);
}

template <class T>
ForwardArguments<T> arguments_of(const MixForward<T>& mix) {
  const Segments segments(mix.pixels, mix.channels);
  return {mix, segments.count, segments.size};
}

template <class T>
BackwardArguments<T> arguments_of(const MixBackward<T>& mix) {
  const Segments segments(mix.pixels, mix.channels);
  return {mix, segments.count, segments.size, needs_total(mix)};
}

template <class T>
bool vectors(const MixForward<T>& mix) {
  bool all = takes_vectors<T>(mix.out.data, mix.out.stride, mix.channels) &&
             takes_vectors<T>(mix.rectified.data, mix.rectified.stride, mix.channels);
  for (int t = 0; t < mix.count; ++t) {
    all = all && takes_vectors<T>(mix.terms[t].x.data, mix.terms[t].x.stride, mix.channels);
  }
  return all;
}

template <class T>
bool vectors(const MixBackward<T>& mix) {
  bool all = takes_vectors<T>(mix.g.data, mix.g.stride, mix.channels) &&
             takes_vectors<T>(mix.gate.data, mix.gate.stride, mix.channels);
  for (int t = 0; t < mix.count; ++t) {
    all = all && takes_vectors<T>(mix.terms[t].x.data, mix.terms[t].x.stride, mix.channels) &&
          takes_vectors<T>(mix.terms[t].dx.data, mix.terms[t].dx.stride, mix.channels);
  }
  return all;
}

/// f with V as a constant: a full vector where the memory allows, else 1.
template <class T, class Mix, class F>
std::string with_vectors(const Mix& mix, const F& f) {
  return vectors(mix) ? f(std::integral_constant<int, full_vector<T>>()) : f(std::integral_constant<int, 1>());
}

}  // namespace

std::size_t mix_forward_scratch(int terms, std::int64_t pixels, std::int64_t channels) {
  const auto values = static_cast<std::size_t>(terms * channels);
  return values * (2 + 2 * static_cast<std::size_t>(Segments(pixels, channels).count)) * sizeof(double);
}

std::size_t mix_backward_scratch(int terms, std::int64_t pixels, std::int64_t channels) {
  const auto values = static_cast<std::size_t>(terms * channels);
  const auto segments = static_cast<std::size_t>(Segments(pixels, channels).count);
  return (values * 4 + (values + static_cast<std::size_t>(channels)) * segments) * sizeof(double);
}

template <class T>
std::string mix_forward_cuda(const MixForward<T>& mix, void* stream) {
  return with_vectors<T>(mix, [&](auto width) {
    return launch<width>(&forward_kernel<T, width>, arguments_of(mix), mix.count, mix.pixels, mix.channels, stream,
                         "mix on a GPU");
  });
}

template <class T>
std::string mix_moments_cuda(const MixForward<T>& mix, double* moments, void* stream) {
  return with_vectors<T>(mix, [&](auto width) {
    return launch<width>(&moments_kernel<T, width>, MomentsArguments<T>{arguments_of(mix), moments}, mix.count,
                         mix.pixels, mix.channels, stream, "statistics of a mix on a GPU");
  });
}

template <class T>
std::string mix_backward_cuda(const MixBackward<T>& mix, void* stream) {
  return with_vectors<T>(mix, [&](auto width) {
    return launch<width>(&backward_kernel<T, width>, arguments_of(mix), mix.count + 1, mix.pixels, mix.channels, stream,
                         "gradient of a mix on a GPU");
  });
}

template <class T>
std::string mix_dots_cuda(const MixBackward<T>& mix, double* dots, void* stream) {
  return with_vectors<T>(mix, [&](auto width) {
    return launch<width>(&dots_kernel<T, width>, DotsArguments<T>{arguments_of(mix), dots}, mix.count + 1, mix.pixels,
                         mix.channels, stream, "sums of the gradient of a mix on a GPU");
  });
}

template <class T>
bool mix_needs_dots(const MixBackward<T>& mix) {
  for (int t = 0; t < mix.count; ++t) {
    if (of_batch(mix.terms[t].norm) && mix.terms[t].dx.data != nullptr) return true;
  }
  return false;
}

template std::string mix_forward_cuda<float>(const MixForward<float>&, void*);
template std::string mix_forward_cuda<double>(const MixForward<double>&, void*);
template std::string mix_forward_cuda<Bf16>(const MixForward<Bf16>&, void*);
template std::string mix_moments_cuda<float>(const MixForward<float>&, double*, void*);
template std::string mix_moments_cuda<double>(const MixForward<double>&, double*, void*);
template std::string mix_moments_cuda<Bf16>(const MixForward<Bf16>&, double*, void*);
template std::string mix_backward_cuda<float>(const MixBackward<float>&, void*);
template std::string mix_backward_cuda<double>(const MixBackward<double>&, void*);
template std::string mix_backward_cuda<Bf16>(const MixBackward<Bf16>&, void*);
template std::string mix_dots_cuda<float>(const MixBackward<float>&, double*, void*);
template std::string mix_dots_cuda<double>(const MixBackward<double>&, double*, void*);
template std::string mix_dots_cuda<Bf16>(const MixBackward<Bf16>&, double*, void*);
template bool mix_needs_dots<float>(const MixBackward<float>&);
template bool mix_needs_dots<double>(const MixBackward<double>&);
template bool mix_needs_dots<Bf16>(const MixBackward<Bf16>&);

}  // namespace flowdarts::mixed_op
