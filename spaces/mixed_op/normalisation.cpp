#include <flowdarts/spaces/mixed_op/mix_kernels.hpp>
#include <flowdarts/spaces/mixed_op/normalisation.hpp>
#include <flowdarts/spaces/mixed_op/tensors.hpp>

#include <algorithm>
#include <cmath>

namespace flowdarts::mixed_op {
namespace {

std::vector<double> values_or(const torch::Tensor& tensor, std::int64_t channels, double fallback) {
  std::vector<double> values(static_cast<std::size_t>(channels), fallback);
  if (tensor.defined()) {
    const torch::Tensor doubles = tensor.detach().to(torch::kDouble).contiguous();
    std::copy_n(doubles.const_data_ptr<double>(), channels, values.begin());
  }
  return values;
}

// running = (1 - momentum) running + momentum batch
void move_towards(const torch::Tensor& running, std::span<const double> batch) {
  const torch::NoGradGuard no_grad;
  const auto move = [&](auto* values) {
    for (std::size_t c = 0; c < batch.size(); ++c) {
      values[c] = static_cast<std::remove_pointer_t<decltype(values)>>((1.0 - BatchNorm::momentum) * values[c] +
                                                                       BatchNorm::momentum * batch[c]);
    }
  };
  running.scalar_type() == torch::kDouble ? move(running.mutable_data_ptr<double>())
                                          : move(running.mutable_data_ptr<float>());
}

double squared(double value) {
  return value * value;
}

}  // namespace

void Exchange::add(const std::shared_ptr<const RankSum>& sum, std::span<double> values) {
  if (!sum) return;
  sum_ = sum;
  parts_.push_back(values);
}

void Exchange::add(const BatchNorm& norm, Moments& batch) {
  const std::shared_ptr<const RankSum> sum = norm.rank_sum();
  if (!sum) return;
  for (std::size_t c = 0; c < batch.mean.size(); ++c) {
    batch.squares[c] += batch.count * squared(batch.mean[c]);
    batch.mean[c] *= batch.count;
  }
  for (const std::span<double> values : {std::span(batch.mean), std::span(batch.squares), std::span(&batch.count, 1)}) {
    add(sum, values);
  }
  moments_.push_back(&batch);
}

void Exchange::run() {
  if (parts_.empty()) return;
  std::size_t numbers = 0;
  for (const std::span<double> part : parts_) numbers += part.size();
  const torch::Tensor message = torch::empty({static_cast<std::int64_t>(numbers)}, torch::kDouble);
  double* to = message.mutable_data_ptr<double>();
  for (const std::span<double> part : parts_) to = std::ranges::copy(part, to).out;
  sum_->add_up(message);
  const double* from = message.const_data_ptr<double>();
  for (const std::span<double> part : parts_) {
    std::copy_n(from, part.size(), part.begin());
    from += part.size();
  }
  for (Moments* batch : moments_) {
    for (std::size_t c = 0; c < batch->mean.size(); ++c) {
      batch->mean[c] /= batch->count;
      // Below 0 by rounding alone.
      batch->squares[c] = std::max(batch->squares[c] - batch->count * squared(batch->mean[c]), 0.0);
    }
  }
}

void add_moments(Moments& all, const torch::Tensor& x, std::int64_t first, std::int64_t channels,
                 const torch::Tensor& copy) {
  const Parts parts(pixel_count(x), channels);
  std::vector<double> means(static_cast<std::size_t>(parts.count() * channels));
  std::vector<double> squares(means.size());
  with_type(x.scalar_type(), [&]<class T>() {
    const Rows<T> to = copy.defined() ? rows<T>(copy) : Rows<T>();
    parts.for_each([&](std::int64_t part, PixelRange range) {
      moments<T>(rows<const T>(x, first), range, channels, &means[part * channels], &squares[part * channels], to);
    });
  });
  for (std::int64_t part = 0; part < parts.count(); ++part) {
    add_part(all, std::span(means).subspan(part * channels, channels),
             std::span(squares).subspan(part * channels, channels),
             static_cast<double>(std::min(parts.size, parts.pixels - part * parts.size)));
  }
}

// Chan, Golub, LeVeque (1979).
void add_part(Moments& all, std::span<const double> mean, std::span<const double> squares, double count) {
  all.mean.resize(mean.size());
  all.squares.resize(mean.size());
  const double together = all.count + count;
  for (std::size_t c = 0; c < mean.size(); ++c) {
    const double delta = mean[c] - all.mean[c];
    all.mean[c] += delta * count / together;
    all.squares[c] += squares[c] + delta * delta * all.count * count / together;
  }
  all.count = together;
}

Normalisation normalise(const BatchNorm& norm, const Moments& batch) {
  Normalisation pass;
  pass.batch_statistics = norm.uses_batch_statistics();
  pass.sum = norm.rank_sum();
  std::vector<double> variance;
  if (pass.batch_statistics) {
    pass.count = batch.count;
    pass.mean = batch.mean;
    variance = batch.squares;
    if (norm.updates_statistics()) {
      move_towards(norm.running_mean(), pass.mean);
      std::vector<double> unbiased = variance;
      for (double& value : unbiased) value /= batch.count - 1.0;
      move_towards(norm.running_var(), unbiased);
    }
    for (double& value : variance) value /= batch.count;
  } else {
    pass.mean = values_or(norm.running_mean(), norm.channels(), 0.0);
    variance = values_or(norm.running_var(), norm.channels(), 1.0);
  }
  for (const double value : variance) pass.inverse_std.push_back(1.0 / std::sqrt(value + norm.eps()));
  pass.gamma = values_or(norm.weight(), norm.channels(), 1.0);
  pass.beta = values_or(norm.bias(), norm.channels(), 0.0);
  return pass;
}

TermGradient term_gradient(const Normalisation& norm, double weight, std::span<const double> total,
                           std::span<const double> dot) {
  TermGradient gradient;
  for (std::size_t c = 0; c < norm.mean.size(); ++c) {
    const double along = norm.inverse_std[c] * dot[c];  // sum of g xhat
    gradient.weight += norm.gamma[c] * along + norm.beta[c] * total[c];
    gradient.gamma.push_back(weight * along);
    gradient.beta.push_back(weight * total[c]);
  }
  return gradient;
}

InputGradient input_gradient(const Normalisation& norm, double weight, std::span<const double> total,
                             std::span<const double> dot) {
  InputGradient gradient;
  for (std::size_t c = 0; c < norm.mean.size(); ++c) {
    const double slope = weight * norm.gamma[c] * norm.inverse_std[c];
    gradient.a.push_back(slope);
    if (!norm.batch_statistics) continue;
    const double along = -slope * norm.inverse_std[c] * norm.inverse_std[c] * dot[c] / norm.count;
    gradient.b.push_back(along);
    gradient.d.push_back(-slope * total[c] / norm.count - along * norm.mean[c]);
  }
  return gradient;
}

}  // namespace flowdarts::mixed_op
