// What a pass says of its batch, on its way from a GPU.

#include <c10/cuda/CUDAFunctions.h>

#include <flowdarts/pipeline/tensor_state.hpp>

#include "../spaces/mixed_op/on_gpu.hpp"

namespace flowdarts {
namespace {

class ResultsOnGpu : public testing::OnGpu {};

TEST_F(ResultsOnGpu, ComeBackWithoutAWaitAsTheyWere) {
  const torch::Tensor packed = torch::tensor({0.5F, 3.0F, 0.1F, 0.2F, 0.3F, 1.25F}).to(torch::kCUDA);
  const torch::Tensor work = torch::randn({4096, 4096}, torch::kCUDA);
  copy_to_host(packed);  // the first pinned memory may be waited for
  torch::cuda::synchronize();
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
  for (int i = 0; i < 20; ++i) torch::mm(work, work);  // what the results wait behind
  const auto results = copy_to_host(packed);
  const bool pending = is_pending(*results);
  packed.zero_();  // the next launch of a graph writes to the same place
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
  EXPECT_TRUE(pending);
  EXPECT_EQ(results->loss(), 0.5);
  EXPECT_EQ(results->correct(), 3);
  ASSERT_EQ(results->errors().size(), 4U);
  EXPECT_EQ(results->errors()[0], 0.1F);
  EXPECT_EQ(results->errors()[3], 1.25F);
  EXPECT_FALSE(is_pending(*results));
}

}  // namespace
}  // namespace flowdarts
