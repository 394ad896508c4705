#pragma once
// Sums of tensors over ranks: MPI in the memory of a host, NCCL between GPUs.

#include <torch/torch.h>

#include <flowdarts/spaces/rank_sum.hpp>
#include <flowdarts/stages/ranks/communicator.hpp>
#include <memory>

namespace flowdarts {

/// Of tensors on `device`. Between GPUs NCCL sums, whose ranks meet through the communicator: collective. Throws
/// InputError for a GPU in a build without FLOWDARTS_MPI and FLOWDARTS_CUDA.
[[nodiscard]] std::shared_ptr<const RankSum> make_rank_sum(std::shared_ptr<Communicator> communicator,
                                                           const torch::Device& device);

/// Sums tensors beside what else this process does, one after the other.
class SumBeside {
 public:
  SumBeside() = default;
  SumBeside(const SumBeside&) = delete;
  SumBeside& operator=(const SumBeside&) = delete;
  virtual ~SumBeside() = default;

  /// As RankSum::add_up(), but returns at once: the tensor is to be left alone until wait(). What has been enqueued on
  /// the current stream of a GPU comes before.
  virtual void start(torch::Tensor tensor) = 0;

  /// All tensors started are summed; on a GPU, for what is enqueued on the current stream from now on. Throws what a
  /// sum threw.
  virtual void wait() = 0;
};

/// The same holds as for make_rank_sum(). The communicator must have no other user.
[[nodiscard]] std::unique_ptr<SumBeside> make_sum_beside(std::shared_ptr<Communicator> communicator,
                                                         const torch::Device& device);

/// Not beside: in one order with the other uses of `sum`. For GPUs that exchange more than gradients in a backward
/// pass: kernels of two NCCL communicators that the GPUs begin in different orders may wait for each other for ever.
[[nodiscard]] std::unique_ptr<SumBeside> make_sum_in_order(std::shared_ptr<const RankSum> sum);

}  // namespace flowdarts
