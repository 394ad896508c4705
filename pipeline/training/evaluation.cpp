#include <flowdarts/pipeline/training/evaluation.hpp>
#include <flowdarts/stages/weight_step/device_batch.hpp>

#include <algorithm>
#include <deque>
#include <future>
#include <numeric>

namespace flowdarts {

TestResult evaluate(const StandAloneNetwork& network, const BatchLoader& loader, std::int64_t count,
                    std::int64_t batch_size, int loader_threads, const torch::Device& device) {
  const torch::NoGradGuard no_grad;
  network.module().eval();
  // In order, some batches ahead of the device.
  std::deque<std::future<Batch>> loading;
  std::int64_t asked = 0;
  const auto ask = [&] {
    if (asked == count) return;
    std::vector<std::int64_t> ids(static_cast<std::size_t>(std::min(batch_size, count - asked)));
    std::iota(ids.begin(), ids.end(), asked);
    asked += static_cast<std::int64_t>(ids.size());
    loading.push_back(std::async(std::launch::async, [&loader, ids = std::move(ids)] {
      return loader.load({.split = Split::val, .ids = ids, .augment = false});
    }));
  };
  for (int i = 0; i <= loader_threads; ++i) ask();

  TestResult result;
  torch::Tensor sums = torch::zeros({3}, torch::TensorOptions(torch::kDouble).device(device));
  while (!loading.empty()) {
    const Batch batch = loading.front().get();
    loading.pop_front();
    ask();
    if (batch.ids.empty()) continue;
    const DeviceBatch tensors = to_device(batch, device);
    const torch::Tensor logits = network.forward(tensors.images).logits.to(torch::kFloat);
    const torch::Tensor loss = torch::nn::functional::cross_entropy(
        logits, tensors.labels, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
    const std::int64_t best = std::min<std::int64_t>(5, logits.size(1));
    const torch::Tensor hits = std::get<1>(logits.topk(best, 1)) == tensors.labels.unsqueeze(1);
    sums += torch::stack(
        {loss.to(torch::kDouble), hits.select(1, 0).sum().to(torch::kDouble), hits.any(1).sum().to(torch::kDouble)});
    result.images += static_cast<std::int64_t>(batch.ids.size());
  }
  const torch::Tensor host = sums.cpu();
  const double* values = host.const_data_ptr<double>();
  if (result.images > 0) result.loss = values[0] / static_cast<double>(result.images);
  result.correct = static_cast<std::int64_t>(values[1]);
  result.in_top5 = static_cast<std::int64_t>(values[2]);
  return result;
}

}  // namespace flowdarts
