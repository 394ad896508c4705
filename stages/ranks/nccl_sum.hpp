#pragma once
// Sums between GPUs, in builds with FLOWDARTS_MPI and FLOWDARTS_CUDA.

#include <flowdarts/stages/ranks/tensor_sum.hpp>

namespace flowdarts {

[[nodiscard]] std::shared_ptr<const RankSum> make_nccl_sum(Communicator& communicator);
[[nodiscard]] std::unique_ptr<SumBeside> make_nccl_sum_beside(Communicator& communicator);

}  // namespace flowdarts
