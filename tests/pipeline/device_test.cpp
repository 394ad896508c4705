#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdlib>
#include <flowdarts/pipeline/device.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <optional>
#include <string>

#include "run_directory/testing.hpp"

namespace flowdarts {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;

constexpr const char* workspace = "CUBLAS_WORKSPACE_CONFIG";

/// Leaves the environment and LibTorch's context as they were.
class DeviceOptions : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const char* value = std::getenv(workspace)) before_ = value;
    ::unsetenv(workspace);
  }
  void TearDown() override {
    ::unsetenv(workspace);
    set_gpu_arithmetic({});
    ::unsetenv(workspace);
    if (before_) ::setenv(workspace, before_->c_str(), 1);
  }

  static RunOptions on_gpu(bool deterministic, Precision precision = Precision::fp32) {
    RunOptions options;
    options.device = Device::cuda;
    options.deterministic = deterministic;
    options.precision = precision;
    return options;
  }

 private:
  std::optional<std::string> before_;
};

TEST_F(DeviceOptions, RefuseTf32OnACpu) {
  RunOptions options;
  options.precision = Precision::tf32;
  EXPECT_THAT(message_of<InputError>([&] { check_device(options); }),
              AllOf(HasSubstr("--precision: found tf32 with --device cpu"), HasSubstr("expected fp32 or bf16")));
  options.precision = Precision::bf16;
  EXPECT_NO_THROW(check_device(options));
  EXPECT_NO_THROW(check_device(on_gpu(false, Precision::tf32)));
}

TEST_F(DeviceOptions, RefuseAWorkspaceThatIsNotDeterministic) {
  ::setenv(workspace, ":8:1", 1);
  EXPECT_THAT(message_of<InputError>([&] { check_device(on_gpu(true)); }),
              AllOf(HasSubstr("CUBLAS_WORKSPACE_CONFIG: found \":8:1\" with --deterministic"),
                    HasSubstr("expected :4096:8 or :16:8")));
  EXPECT_NO_THROW(check_device(on_gpu(false)));
  RunOptions on_cpu;
  on_cpu.deterministic = true;
  EXPECT_NO_THROW(check_device(on_cpu));
  for (const char* size : {":4096:8", ":16:8"}) {
    ::setenv(workspace, size, 1);
    EXPECT_NO_THROW(check_device(on_gpu(true))) << size;
  }
}

TEST_F(DeviceOptions, SetHowLibTorchComputes) {
  const at::Context& context = at::globalContext();
  set_gpu_arithmetic(on_gpu(true));
  EXPECT_TRUE(context.deterministicAlgorithms());
  EXPECT_FALSE(context.deterministicAlgorithmsWarnOnly());
  EXPECT_TRUE(context.deterministicCuDNN());
  EXPECT_FALSE(context.benchmarkCuDNN());
  EXPECT_FALSE(context.deterministicFillUninitializedMemory());
  EXPECT_FALSE(context.allowTF32CuDNN());
  EXPECT_FALSE(context.allowTF32CuBLAS());
  EXPECT_STREQ(std::getenv(workspace), ":4096:8");

  ::setenv(workspace, ":16:8", 1);
  set_gpu_arithmetic(on_gpu(true));
  EXPECT_STREQ(std::getenv(workspace), ":16:8") << "what the user set was overwritten";

  ::unsetenv(workspace);
  set_gpu_arithmetic(on_gpu(false, Precision::tf32));
  EXPECT_FALSE(context.deterministicAlgorithms());
  EXPECT_FALSE(context.deterministicCuDNN());
  EXPECT_TRUE(context.benchmarkCuDNN());
  EXPECT_TRUE(context.allowTF32CuDNN());
  EXPECT_TRUE(context.allowTF32CuBLAS());
  EXPECT_EQ(std::getenv(workspace), nullptr);
}

TEST_F(DeviceOptions, OpenACpuWithoutTouchingLibTorch) {
  const bool benchmark = at::globalContext().benchmarkCuDNN();
  RunOptions options;
  options.deterministic = true;
  EXPECT_EQ(open_device(options), torch::Device(torch::kCPU));
  EXPECT_FALSE(at::globalContext().deterministicAlgorithms());
  EXPECT_EQ(at::globalContext().benchmarkCuDNN(), benchmark);
}

TEST_F(DeviceOptions, RefuseAGpuThatIsNotThere) {
  if (torch::cuda::is_available()) GTEST_SKIP() << "there is a GPU in this machine";
  EXPECT_THAT(message_of<InputError>([&] { open_device(on_gpu(true)); }),
              HasSubstr("--device: found cuda, but this build or this machine has no CUDA device; expected cpu"));
  EXPECT_FALSE(at::globalContext().deterministicAlgorithms());
}

}  // namespace
}  // namespace flowdarts
