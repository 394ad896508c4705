#pragma once
// Tensors on their way to the host and back.

#include <flowdarts/pipeline/messages.hpp>
#include <flowdarts/spaces/support/error.hpp>

#include <torch/torch.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace flowdarts {

/// Starts copying a pack_results() tensor [2 + B] to the host: at once on a CPU, asynchronously into pinned memory on a
/// GPU.
std::shared_ptr<const DeviceResults> copy_to_host(const torch::Tensor& packed);

/// Whether reading the results would wait for the device.
bool is_pending(const DeviceResults& results);

/// Marks where a GPU's current stream is now; null on a CPU.
std::shared_ptr<const DeviceMark> mark_work(const torch::Device& device);

/// Puts a module's convolution weights into channels-last memory, the format every supernet runs in.
void to_channels_last(torch::nn::Module& module);

/// The tensors' values as bytes, in row-major order whatever their memory format.
std::vector<std::byte> tensor_bytes(const std::vector<torch::Tensor>& tensors);

/// Restores what tensor_bytes() took, into tensors of the same shapes and types. Throws InputError naming `where`
/// otherwise.
void restore_tensors(const std::vector<torch::Tensor>& tensors, std::span<const std::byte> bytes,
                     const std::string& where);

/// The first named tensor that holds a NaN or an infinity, with that value; empty when all are finite.
std::string first_non_finite(const std::vector<std::pair<std::string, torch::Tensor>>& tensors);

/// Runs `body`. LibTorch's errors, which carry a stack trace, leave it as RunErrors without.
template <class Body>
auto with_plain_errors(Body&& body) {
  try {
    return body();
  } catch (const c10::Error& error) {
    throw RunError(error.what_without_backtrace());
  }
}

/// The matrices as doubles, row-major.
std::vector<std::vector<double>> to_doubles(const std::vector<torch::Tensor>& matrices);

}  // namespace flowdarts
