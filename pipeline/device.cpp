#include <algorithm>
#include <array>
#include <cstdlib>
#include <flowdarts/pipeline/device.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts {
namespace {

// cuBLAS gives the same bits in every run with these sizes of its workspace alone (cuBLAS, "Results reproducibility").
constexpr const char* workspace_variable = "CUBLAS_WORKSPACE_CONFIG";
constexpr std::array<const char*, 2> deterministic_workspaces{":4096:8", ":16:8"};

constexpr const char* visible_variable = "CUDA_VISIBLE_DEVICES";

}  // namespace

void check_device(const RunOptions& options) {
  if (options.device.value == Device::cpu) {
    if (options.precision.value == Precision::tf32) {
      throw InputError("--precision: found tf32 with --device cpu, expected fp32 or bf16: only GPUs compute in TF32");
    }
    return;
  }
  const char* workspace = std::getenv(workspace_variable);
  if (options.deterministic && workspace != nullptr &&
      std::ranges::find(deterministic_workspaces, std::string_view(workspace)) == deterministic_workspaces.end()) {
    throw InputError("environment variable " + std::string(workspace_variable) + ": found \"" + workspace +
                     "\" with --deterministic, expected " + deterministic_workspaces[0] + " or " +
                     deterministic_workspaces[1] + ", or that it is not set");
  }
}

void set_gpu_arithmetic(const RunOptions& options) {
  at::Context& context = at::globalContext();
  const bool tf32 = options.precision.value == Precision::tf32;
  context.setAllowTF32CuDNN(tf32);
  context.setAllowTF32CuBLAS(tf32);
  const bool deterministic = options.deterministic;
  // Measuring the algorithms would choose among them by chance.
  context.setBenchmarkCuDNN(!deterministic);
  context.setDeterministicCuDNN(deterministic);
  context.setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
  // LibTorch would otherwise fill each new tensor; nothing here reads one before it is written.
  context.setDeterministicFillUninitializedMemory(false);
  if (deterministic) ::setenv(workspace_variable, deterministic_workspaces[0], /*overwrite=*/0);
}

void choose_gpu(const Ranks& ranks) {
  const char* visible = std::getenv(visible_variable);
  std::string own = std::to_string(ranks.local_rank());
  if (visible != nullptr && *visible != '\0') {
    std::vector<std::string> listed;
    std::istringstream list(visible);
    for (std::string gpu; std::getline(list, gpu, ',');) listed.push_back(gpu);
    if (listed.size() == 1) return;
    const auto place = static_cast<std::size_t>(ranks.local_rank());
    // Beyond the list: none, and open_device() says so.
    own = place < listed.size() ? listed[place] : "-1";
  }
  ::setenv(visible_variable, own.c_str(), /*overwrite=*/1);
}

torch::Device open_device(const RunOptions& options) {
  if (options.device.value == Device::cpu) return torch::kCPU;
  if (!torch::cuda::is_available()) {
    const char* visible = std::getenv(visible_variable);
    throw InputError(
        "--device: found cuda, but this build or this machine has no CUDA device" +
        (visible == nullptr ? std::string() : " that " + std::string(visible_variable) + "=" + visible + " names") +
        "; expected cpu, or as many processes on a host as it has GPUs");
  }
  set_gpu_arithmetic(options);
  return torch::kCUDA;
}

}  // namespace flowdarts
