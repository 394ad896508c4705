#include <condition_variable>
#include <deque>
#include <exception>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/ranks/nccl_sum.hpp>
#include <flowdarts/stages/ranks/tensor_sum.hpp>
#include <mutex>
#include <span>
#include <stdexcept>
#include <thread>
#include <utility>

namespace flowdarts {
namespace {

void add_up(Communicator& communicator, const torch::Tensor& tensor) {
  const auto values = [&]<class T>(T*) {
    return std::span<T>(tensor.data_ptr<T>(), static_cast<std::size_t>(tensor.numel()));
  };
  if (tensor.scalar_type() == torch::kFloat) {
    communicator.add_up(values(static_cast<float*>(nullptr)));
  } else if (tensor.scalar_type() == torch::kDouble) {
    communicator.add_up(values(static_cast<double*>(nullptr)));
  } else {
    throw std::invalid_argument("sum over ranks: float32 or float64 expected");
  }
}

class HostSum final : public RankSum {
 public:
  explicit HostSum(std::shared_ptr<Communicator> communicator) : communicator_(std::move(communicator)) {}
  void add_up(const torch::Tensor& tensor) const override { flowdarts::add_up(*communicator_, tensor); }

 private:
  std::shared_ptr<Communicator> communicator_;
};

/// A thread of its own waits for the other ranks.
class HostSumBeside final : public SumBeside {
 public:
  explicit HostSumBeside(std::shared_ptr<Communicator> communicator)
      : communicator_(std::move(communicator)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

  void start(torch::Tensor tensor) override {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(tensor));
    ++unfinished_;
    changed_.notify_all();
  }

  void wait() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return unfinished_ == 0; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void run(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
      const torch::Tensor tensor = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      std::exception_ptr error;
      try {
        flowdarts::add_up(*communicator_, tensor);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error) error_ = error;
      --unfinished_;
      changed_.notify_all();
    }
  }

  std::shared_ptr<Communicator> communicator_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<torch::Tensor> waiting_;
  std::int64_t unfinished_ = 0;
  std::exception_ptr error_;
  std::jthread thread_;  // last: it uses all of the above
};

#ifndef FLOWDARTS_NCCL
[[noreturn]] void refuse_gpu() {
  throw InputError(
      "--device: found cuda with several processes, but this build has no NCCL; expected a build with "
      "-DFLOWDARTS_MPI=ON and -DFLOWDARTS_CUDA=ON");
}
#endif

class SumInOrder final : public SumBeside {
 public:
  explicit SumInOrder(std::shared_ptr<const RankSum> sum) : sum_(std::move(sum)) {}
  void start(torch::Tensor tensor) override { sum_->add_up(tensor); }
  void wait() override {}

 private:
  std::shared_ptr<const RankSum> sum_;
};

}  // namespace

std::unique_ptr<SumBeside> make_sum_in_order(std::shared_ptr<const RankSum> sum) {
  return std::make_unique<SumInOrder>(std::move(sum));
}

std::shared_ptr<const RankSum> make_rank_sum(std::shared_ptr<Communicator> communicator, const torch::Device& device) {
  if (device.is_cpu()) return std::make_shared<HostSum>(std::move(communicator));
#ifdef FLOWDARTS_NCCL
  return make_nccl_sum(*communicator);
#else
  refuse_gpu();
#endif
}

std::unique_ptr<SumBeside> make_sum_beside(std::shared_ptr<Communicator> communicator, const torch::Device& device) {
  if (device.is_cpu()) return std::make_unique<HostSumBeside>(std::move(communicator));
#ifdef FLOWDARTS_NCCL
  return make_nccl_sum_beside(*communicator);
#else
  refuse_gpu();
#endif
}

}  // namespace flowdarts
