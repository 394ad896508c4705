#include <algorithm>
#include <flowdarts/stages/measure/removal.hpp>
#include <numeric>
#include <tuple>

namespace flowdarts {
namespace {

/// The number of right predictions and the sum of losses, on the device: [2].
torch::Tensor classify(Supernet& supernet, const DeviceBatch& batch, const std::vector<torch::Tensor>& op_weights) {
  const torch::Tensor logits = supernet.forward(batch.images, op_weights).to(torch::kDouble);
  const torch::Tensor loss = torch::nn::functional::cross_entropy(
      logits, batch.labels, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
  return torch::stack({(logits.argmax(1) == batch.labels).sum().to(torch::kDouble), loss});
}

}  // namespace

Removal measure_removal(Supernet& supernet, const std::vector<torch::Tensor>& op_weights, std::int64_t none_column,
                        const MeasureBatches& batches) {
  const Measuring measuring(supernet);
  struct Place {
    std::size_t matrix;
    std::int64_t index;
  };
  std::vector<Place> places;  // whose removal changes something
  std::vector<torch::Tensor> weights;
  for (std::size_t m = 0; m < op_weights.size(); ++m) {
    weights.push_back(op_weights[m].detach().contiguous());
    const torch::Tensor host = weights[m].to(torch::kCPU, torch::kDouble);
    for (std::int64_t i = 0; i < host.numel(); ++i) {
      const bool is_none = none_column >= 0 && i % host.size(1) == none_column;
      if (!is_none && host.const_data_ptr<double>()[i] != 0.0) places.push_back({m, i});
    }
  }
  torch::Tensor sums = torch::zeros({static_cast<std::int64_t>(places.size()) + 1, 2}, torch::kDouble);
  double images = 0;
  for (std::int64_t b = 0; b < batches.count; ++b) {
    const DeviceBatch batch = batches.load(b);
    if (batch.labels.numel() == 0) continue;
    std::vector<torch::Tensor> of_batch{classify(supernet, batch, weights)};
    for (const Place& place : places) {
      const torch::Tensor whole = weights[place.matrix];
      weights[place.matrix] = whole.clone();
      weights[place.matrix].view(-1)[place.index] = 0.0;
      of_batch.push_back(classify(supernet, batch, weights));
      weights[place.matrix] = whole;
    }
    sums = sums.to(batch.labels.device()) + torch::stack(of_batch);
    images += static_cast<double>(batch.labels.numel());
  }
  // [1 + places, 2]: of the whole supernet, then without each place.
  sums = sums.to(torch::kCPU).contiguous();
  if (batches.add_up) {
    batches.add_up({sums.mutable_data_ptr<double>(), static_cast<std::size_t>(sums.numel())});
    batches.add_up({&images, 1});
  }
  if (images == 0) throw InputError("removal accuracy: found no image to measure it on, expected at least one");
  const torch::Tensor means = sums / images;
  const double* values = means.const_data_ptr<double>();
  Removal removal;
  for (const torch::Tensor& matrix : op_weights) {
    removal.accuracy.emplace_back(static_cast<std::size_t>(matrix.numel()), values[0]);
    removal.loss.emplace_back(static_cast<std::size_t>(matrix.numel()), values[1]);
  }
  for (std::size_t p = 0; p < places.size(); ++p) {
    const auto index = static_cast<std::size_t>(places[p].index);
    removal.accuracy[places[p].matrix][index] = values[2 * (p + 1)];
    removal.loss[places[p].matrix][index] = values[2 * (p + 1) + 1];
  }
  return removal;
}

std::vector<std::vector<double>> rank_by_removal(const Removal& removal, const std::vector<ArchShape>& shapes,
                                                 std::int64_t none_column) {
  std::vector<std::vector<double>> scores;
  for (std::size_t m = 0; m < removal.accuracy.size(); ++m) {
    const std::size_t size = removal.accuracy[m].size();
    std::vector<std::size_t> order(size);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) {
      const bool is_none = static_cast<std::int64_t>(i) % shapes[m].columns == none_column;
      return std::tuple(removal.accuracy[m][i], -removal.loss[m][i], is_none);
    });
    std::vector<double>& matrix = scores.emplace_back(size);
    for (std::size_t rank = 0; rank < size; ++rank) matrix[order[rank]] = static_cast<double>(size - rank);
  }
  return scores;
}

}  // namespace flowdarts
