#include <flowdarts/spaces/mixed_op/pointwise.hpp>

#include <memory>

namespace flowdarts::mixed_op {
namespace {

constexpr auto doubles = torch::kDouble;

template <class T>
std::span<const T> values(const torch::Tensor& tensor) {
  return {tensor.const_data_ptr<T>(), static_cast<std::size_t>(tensor.numel())};
}

Moments moments_of(const torch::Tensor& weight, std::span<const double> bias, const torch::Tensor& spread,
                   const Covariance& input) {
  Moments moments{
      .mean = {bias.begin(), bias.end()}, .squares = std::vector<double>(bias.size()), .count = input.count};
  const auto w = values<double>(weight);
  const auto along = values<double>(spread);
  const std::size_t channels = bias.size();
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t k = 0; k < channels; ++k) {
      moments.mean[c] += w[c * channels + k] * input.mean[k];
      moments.squares[c] += w[c * channels + k] * along[c * channels + k];
    }
    moments.squares[c] = std::max(moments.squares[c], 0.0);  // below 0 by rounding alone
  }
  return moments;
}

}  // namespace

CovarianceSums::CovarianceSums(const torch::Tensor& x)
    : x_(x),
      means_(static_cast<std::size_t>(x.size(0) * x.size(1))),
      products_(
          torch::empty({x.size(0), x.size(1), x.size(1)}, x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat)) {}

void CovarianceSums::add(std::int64_t image) {
  const std::int64_t channels = x_.size(1);
  const std::int64_t pixels = x_.size(2) * x_.size(3);
  with_type(x_.scalar_type(), [&]<class T>() {
    using A = Compute<T>;
    const auto scratch = std::make_unique_for_overwrite<A[]>(static_cast<std::size_t>(pointwise_scratch(channels, 1)));
    covariance<T>(rows<const T>(x_), {image * pixels, (image + 1) * pixels}, channels, &means_[image * channels],
                  products_.mutable_data_ptr<A>() + image * channels * channels, scratch.get());
  });
}

// Chan, Golub, LeVeque (1979), for two channels at a time.
Covariance CovarianceSums::result() const {
  const std::int64_t images = x_.size(0);
  const std::int64_t channels = x_.size(1);
  const auto pixels = static_cast<double>(x_.size(2) * x_.size(3));
  const auto size = static_cast<std::size_t>(channels);
  Covariance all{.mean = std::vector<double>(size), .count = pixels * static_cast<double>(images)};
  for (std::size_t i = 0; i < means_.size(); ++i) all.mean[i % size] += means_[i] / static_cast<double>(images);
  // With as many pixels in each image, the images' means have a covariance of their own.
  const torch::Tensor means =
      torch::tensor(means_, doubles).view({images, channels}) - torch::tensor(all.mean, doubles);
  all.products = products_.sum(0, /*keepdim=*/false, doubles).addmm_(means.t(), means, 1, pixels);
  return all;
}

PointwiseConv::PointwiseConv(const torch::Tensor& weight, const torch::Tensor& bias, const Covariance* input)
    : channels_(weight.size(0)),
      weight_(weight.detach().to(doubles).view({channels_, channels_}).contiguous()),
      bias_(static_cast<std::size_t>(channels_)),
      input_(input) {
  if (bias.defined()) {
    const torch::Tensor wide = bias.detach().to(doubles).contiguous();
    std::ranges::copy(values<double>(wide), bias_.begin());
  }
  if (input_ != nullptr) {
    spread_ = weight_.mm(input_->products);
    output_ = moments_of(weight_, bias_, spread_, *input_);
  }
}

PointwiseConv::Contribution PointwiseConv::contribution(double weight) const {
  const auto size = static_cast<std::size_t>(channels_);
  Contribution result{.matrix = std::vector<double>(size * size), .shift = std::vector<double>(size)};
  const auto w = values<double>(weight_);
  for (std::size_t c = 0; c < size; ++c) {
    const double slope = weight * norm_.gamma[c] * norm_.inverse_std[c];
    result.shift[c] = weight * norm_.beta[c] + slope * (bias_[c] - norm_.mean[c]);
    for (std::size_t k = 0; k < size; ++k) result.matrix[k * size + c] = slope * w[c * size + k];
  }
  return result;
}

std::vector<double> PointwiseConv::dot(std::span<const double> total, std::span<const double> products) const {
  const auto size = static_cast<std::size_t>(channels_);
  const auto w = values<double>(weight_);
  std::vector<double> dot(size);
  for (std::size_t c = 0; c < size; ++c) {
    dot[c] = (bias_[c] - norm_.mean[c]) * total[c];
    for (std::size_t k = 0; k < size; ++k) dot[c] += w[c * size + k] * products[k * size + c];
  }
  return dot;
}

torch::Tensor PointwiseConv::weight_gradient(const InputGradient& gradient, std::span<const double> total,
                                             std::span<const double> products) const {
  const auto size = static_cast<std::size_t>(channels_);
  torch::Tensor result = torch::empty({channels_, channels_, 1, 1}, doubles);
  auto* out = result.mutable_data_ptr<double>();
  for (std::size_t c = 0; c < size; ++c) {
    // sum (a g + b y + d) x. The sum of b y + d, over the whole batch, is that of -a g.
    double rest = 0;
    if (input_ != nullptr) {
      rest = norm_.sum ? input_->count * (gradient.b[c] * output_.mean[c] + gradient.d[c]) : -gradient.a[c] * total[c];
    }
    for (std::size_t k = 0; k < size; ++k) {
      double& value = out[c * size + k];
      value = gradient.a[c] * products[k * size + c];
      if (input_ != nullptr) {
        value += gradient.b[c] * values<double>(spread_)[c * size + k] + rest * input_->mean[k];
      }
    }
  }
  return result;
}

void PointwiseConv::add_input_gradient(const InputGradient& gradient, std::span<double> of_g, std::span<double> of_x,
                                       std::span<double> shift) const {
  const auto size = static_cast<std::size_t>(channels_);
  const auto w = values<double>(weight_);
  for (std::size_t c = 0; c < size; ++c) {
    for (std::size_t k = 0; k < size; ++k) of_g[c * size + k] = gradient.a[c] * w[c * size + k];
  }
  if (gradient.b.empty()) return;
  for (std::size_t c = 0; c < size; ++c) {
    const double constant = gradient.d[c] + gradient.b[c] * bias_[c];
    for (std::size_t k = 0; k < size; ++k) shift[k] += constant * w[c * size + k];
  }
  const torch::Tensor slopes = torch::tensor(gradient.b, doubles).unsqueeze(1);
  torch::from_blob(of_x.data(), {channels_, channels_}, doubles).addmm_(weight_.t(), weight_ * slopes);
}

}  // namespace flowdarts::mixed_op
