#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/sampler.hpp>
#include <flowdarts/stages/prune/el2n_scores.hpp>
#include <flowdarts/stages/weight_step/batch_results.hpp>
#include <flowdarts/stages/weight_step/device_batch.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>

#include <algorithm>

namespace flowdarts {
namespace {

constexpr std::int64_t batch_size = 128;

class ScoringNetwork : public torch::nn::Module {
 public:
  explicit ScoringNetwork(std::int64_t classes) {
    std::int64_t in = 3;
    for (const std::int64_t out : {16, 32, 64}) {
      body_->push_back(
          torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).stride(in == 3 ? 1 : 2).padding(1).bias(false)));
      body_->push_back(torch::nn::BatchNorm2d(out));
      body_->push_back(torch::nn::ReLU());
      in = out;
    }
    register_module("body", body_);
    classifier_ = register_module("classifier", torch::nn::Linear(in, classes));
  }

  torch::Tensor forward(const torch::Tensor& images) {
    return classifier_->forward(body_->forward(images).mean({2, 3}));
  }

 private:
  torch::nn::Sequential body_;
  torch::nn::Linear classifier_{nullptr};
};

/// Calls use(batch ids) over `order`, until stop().
template <class Use>
void for_each_batch(std::span<const std::int64_t> order, const std::function<bool()>& stop, Use&& use) {
  for (std::size_t begin = 0; begin < order.size() && !stop(); begin += batch_size) {
    const auto part = order.subspan(begin, std::min<std::size_t>(batch_size, order.size() - begin));
    use(std::vector<std::int64_t>(part.begin(), part.end()));
  }
}

}  // namespace

std::vector<double> el2n_scores(const BatchLoader& loader, std::int64_t samples, std::int64_t classes,
                                std::span<const std::int64_t> ids, const torch::Device& device,
                                const El2nOptions& options, const std::function<bool()>& stop) {
  WeightOptions training;
  training.lr = 0.05;
  training.lr_min = 0.0;
  training.weight_decay = 5e-4;
  std::vector<double> scores(static_cast<std::size_t>(samples), 0.0);
  for (std::int64_t run = options.first_run; run < options.runs; run += options.run_stride) {
    // Every run has its own weights, orders and augmentation.
    const std::uint64_t run_seed = CounterRng(options.seed, Stream::scoring, 0, 0, static_cast<std::uint64_t>(run))();
    ScoringNetwork network(classes);
    initialise(network, run_seed);
    network.to(device);
    Sgd sgd(network.parameters(), training);
    for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
      const std::vector<std::int64_t> order = epoch_order(ids, run_seed, Split::train, epoch, options.locality);
      network.train();
      for_each_batch(order, stop, [&](std::vector<std::int64_t> batch) {
        const Batch loaded = loader.load({.epoch = run * options.epochs + epoch, .ids = std::move(batch)});
        if (loaded.ids.empty()) return;
        const DeviceBatch images = to_device(loaded, device);
        const torch::Tensor loss = torch::nn::functional::cross_entropy(network.forward(images.images), images.labels);
        std::vector<torch::Tensor> gradients = torch::autograd::grad({loss}, sgd.weights());
        sgd.step(gradients, cosine_lr(training, epoch, options.epochs));
      });
    }
    const torch::NoGradGuard no_grad;
    network.eval();
    for_each_batch(ids, stop, [&](std::vector<std::int64_t> batch) {
      const Batch loaded = loader.load({.ids = std::move(batch), .augment = false});
      if (loaded.ids.empty()) return;
      const DeviceBatch images = to_device(loaded, device);
      const torch::Tensor logits = network.forward(images.images);
      const torch::Tensor packed =
          pack_results(torch::zeros({}, logits.options()), logits, images.labels).to(torch::kCPU);
      for (std::size_t i = 0; i < loaded.ids.size(); ++i) {
        scores[static_cast<std::size_t>(loaded.ids[i])] +=
            static_cast<double>(packed[static_cast<std::int64_t>(i) + 2].item<float>()) /
            static_cast<double>(options.runs);
      }
    });
  }
  return scores;
}

}  // namespace flowdarts
