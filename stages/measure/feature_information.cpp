#include <flowdarts/stages/measure/feature_information.hpp>
#include <limits>

namespace flowdarts {
namespace {

/// Shows a supernet's outputs while it lives.
class Observing {
 public:
  Observing(Supernet& supernet, OutputObserver observer) : supernet_(supernet) {
    supernet_.set_output_observer(std::move(observer));
  }
  Observing(const Observing&) = delete;
  Observing& operator=(const Observing&) = delete;
  ~Observing() { supernet_.set_output_observer({}); }

 private:
  Supernet& supernet_;
};

}  // namespace

torch::Tensor summed_feature_information(const torch::Tensor& output) {
  const std::int64_t channels = output.size(1);
  if (channels < 2) {
    throw InputError("feature information: found an op of one channel; channel variance needs at least two channels");
  }
  const torch::Tensor variance = output.to(torch::kDouble).var(1, /*unbiased=*/true);
  const torch::Tensor of_images = variance.square().reciprocal().mean({1, 2});
  const double factor = 3.0 * static_cast<double>(channels - 1) / static_cast<double>(channels);
  return of_images.sum() * factor;
}

std::vector<std::vector<double>> feature_information(Supernet& supernet, const std::vector<torch::Tensor>& op_weights,
                                                     const MeasureBatches& batches) {
  const Measuring measuring(supernet);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  struct Sum {
    torch::Tensor value;
    std::int64_t images = 0;  // of all cells
  };
  std::vector<std::vector<Sum>> sums;
  std::vector<std::vector<double>> result;
  for (const torch::Tensor& matrix : op_weights) {
    sums.emplace_back(static_cast<std::size_t>(matrix.numel()));
    result.emplace_back(static_cast<std::size_t>(matrix.numel()), infinity);
  }
  {
    const Observing observing(
        supernet, [&](std::size_t matrix, std::int64_t row, std::int64_t column, const torch::Tensor& output) {
          Sum& sum = sums.at(matrix).at(static_cast<std::size_t>(row * op_weights[matrix].size(1) + column));
          const torch::Tensor part = summed_feature_information(output);
          sum.value = sum.value.defined() ? sum.value + part : part;
          sum.images += output.size(0);
        });
    for (std::int64_t b = 0; b < batches.count; ++b) {
      const DeviceBatch batch = batches.load(b);
      if (batch.labels.numel() > 0) supernet.forward(batch.images, op_weights);
    }
  }
  for (std::size_t m = 0; m < sums.size(); ++m) {
    std::vector<double> values, images;
    for (const Sum& sum : sums[m]) {
      values.push_back(sum.value.defined() ? sum.value.item<double>() : 0.0);
      images.push_back(static_cast<double>(sum.images));
    }
    if (batches.add_up) {
      batches.add_up(values);
      batches.add_up(images);
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (images[i] == 0.0) continue;
      const double mean = values[i] / images[i];
      result[m][i] = std::isnan(mean) ? infinity : mean;
    }
  }
  return result;
}

}  // namespace flowdarts
