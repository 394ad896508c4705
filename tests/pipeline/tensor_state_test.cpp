#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstring>
#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <limits>

#include "run_directory/testing.hpp"

namespace flowdarts {
namespace {

using testing::message_of;

std::vector<torch::Tensor> every_kind() {
  torch::manual_seed(1);
  torch::Tensor odd = torch::tensor(
      {0.0F, -0.0F, std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::infinity(), -1e-38F});
  // A NaN with a payload and a sign.
  const std::uint32_t nan = 0xFFC12345U;
  std::memcpy(odd.data_ptr<float>() + 4, &nan, sizeof nan);
  return {torch::randn({4, 3, 5, 5}).contiguous(torch::MemoryFormat::ChannelsLast),
          torch::randn({6, 7}).t(),
          torch::randn({10}).slice(0, 1, 9, 2),
          torch::tensor(std::int64_t{1} << 40),
          torch::empty({0, 3}),
          torch::randn({3}, torch::kDouble),
          odd};
}

std::vector<torch::Tensor> like(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> others;
  for (const torch::Tensor& tensor : tensors) others.push_back(torch::full_like(tensor, 7));
  return others;
}

TEST(TensorState, RestoresEveryBit) {
  const auto tensors = every_kind();
  const auto bytes = tensor_bytes(tensors);
  const auto restored = like(tensors);
  restore_tensors(restored, bytes, "here");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const torch::Tensor left = tensors[i].contiguous(), right = restored[i].contiguous();
    ASSERT_EQ(left.nbytes(), right.nbytes());
    EXPECT_EQ(std::memcmp(left.const_data_ptr(), right.const_data_ptr(), left.nbytes()), 0) << "tensor " << i;
  }
  EXPECT_EQ(tensor_bytes(restored), bytes);
}

TEST(TensorState, NothingIsMarkedOnACpu) {
  EXPECT_EQ(mark_work(torch::kCPU), nullptr);
}

TEST(TensorState, BytesDoNotDependOnTheMemoryFormat) {
  const torch::Tensor plain = torch::randn({2, 3, 4, 5});
  const torch::Tensor channels_last = plain.contiguous(torch::MemoryFormat::ChannelsLast);
  EXPECT_EQ(tensor_bytes({plain}), tensor_bytes({channels_last}));

  const torch::Tensor target = torch::zeros({2, 3, 4, 5}).contiguous(torch::MemoryFormat::ChannelsLast);
  restore_tensors({target}, tensor_bytes({plain}), "here");
  EXPECT_TRUE(target.is_contiguous(torch::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(torch::equal(target, plain));
}

TEST(TensorState, RestoresLeavesThatRequireGradInPlace) {
  const torch::Tensor alpha = torch::zeros({6, 5}).requires_grad_();
  const void* data = alpha.const_data_ptr();
  const torch::Tensor values = torch::randn({6, 5});
  restore_tensors({alpha}, tensor_bytes({values}), "here");
  EXPECT_TRUE(torch::equal(alpha, values));
  EXPECT_TRUE(alpha.is_leaf() && alpha.requires_grad());
  EXPECT_EQ(alpha.const_data_ptr(), data);
}

TEST(TensorState, RefusesWhatIsNotTheSameTensors) {
  const auto bytes = tensor_bytes({torch::zeros({2, 3}), torch::zeros({4})});
  const auto refusal = [](const std::vector<torch::Tensor>& tensors, std::span<const std::byte> from) {
    return message_of<InputError>([&] { restore_tensors(tensors, from, "checkpoint section weights"); });
  };
  using ::testing::AllOf;
  using ::testing::HasSubstr;
  using ::testing::StartsWith;
  const auto where = StartsWith("checkpoint section weights");
  EXPECT_THAT(refusal({torch::zeros({2, 3})}, bytes), AllOf(where, HasSubstr("found 2 tensors, expected 1")));
  EXPECT_THAT(refusal({torch::zeros({2, 3}), torch::zeros({5})}, bytes),
              AllOf(where, HasSubstr("found a tensor of 16 bytes, expected 20")));
  EXPECT_THAT(refusal({torch::zeros({2, 3}, torch::kDouble), torch::zeros({4})}, bytes),
              AllOf(where, HasSubstr("found a tensor of 24 bytes, expected 48")));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(refusal({torch::zeros({2, 3}), torch::zeros({4})}, std::span(bytes).first(size)), where) << size;
  }
  auto longer = bytes;
  longer.push_back({});
  EXPECT_THAT(refusal({torch::zeros({2, 3}), torch::zeros({4})}, longer), where);
}

TEST(TensorState, NamesTheFirstTensorThatIsNotFinite) {
  torch::Tensor broken = torch::zeros({2, 4});
  EXPECT_EQ(first_non_finite({{"a", broken}, {"b", torch::ones({3}, torch::kLong)}}), "");
  broken[1][2] = std::numeric_limits<float>::infinity();
  broken[1][3] = std::numeric_limits<float>::quiet_NaN();
  const std::string said = first_non_finite({{"a", torch::ones({2})}, {"b", broken}, {"c", broken}});
  EXPECT_THAT(said, ::testing::StartsWith("b (2 of 8 values, the first is inf"));
}

TEST(TensorState, GivesMatricesAsRowMajorDoubles) {
  const torch::Tensor matrix = torch::arange(6, torch::kFloat).reshape({3, 2}).t();
  EXPECT_EQ(to_doubles({matrix}), (std::vector<std::vector<double>>{{0, 2, 4, 1, 3, 5}}));
}

TEST(TensorState, PutsConvolutionsIntoChannelsLastMemory) {
  torch::nn::Sequential net(torch::nn::Conv2d(3, 8, 3), torch::nn::Linear(4, 5));
  std::vector<torch::Tensor> before;
  for (const torch::Tensor& parameter : net->parameters()) before.push_back(parameter.detach().clone());
  to_channels_last(*net);
  EXPECT_TRUE(net->parameters()[0].is_contiguous(torch::MemoryFormat::ChannelsLast));
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(net->parameters()[i], before[i]));
}

}  // namespace
}  // namespace flowdarts
