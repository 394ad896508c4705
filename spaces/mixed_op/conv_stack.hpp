#pragma once
// The 3x3 convolutions of a mixed op that read the same node, at the level of LibTorch: see conv_kernels.hpp. CPU.

#include <flowdarts/spaces/mixed_op/conv_kernels.hpp>
#include <flowdarts/spaces/mixed_op/normalisation.hpp>
#include <flowdarts/spaces/mixed_op/tensors.hpp>

#include <functional>
#include <span>
#include <vector>

namespace flowdarts {

/// conv(max(x, 0)): x [B, C, H, W] on a CPU, float32, float64 or bfloat16; weight [C, C, 3, 3], float32 or float64;
/// stride 1, the size kept. Its gradient is not differentiable. Throws c10::Error for tensors that do not fit.
torch::Tensor relu_conv3x3(const torch::Tensor& x, const torch::Tensor& weight);

namespace mixed_op {

/// ReLU, then 3x3 convolutions side by side: C to C channels, stride 1, the size kept. Sums are float32 at least. The
/// same bits for any number of threads.
class ConvStack {
 public:
  /// One convolution: weight [C, C, 3, 3], float32 or float64; bias [C], or undefined.
  struct Conv {
    torch::Tensor weight, bias;
  };
  /// y [B, C, H, W], channels-last, of x's type; its moments, where asked for.
  struct Output {
    torch::Tensor y;
    Moments moments;
  };
  /// The gradient of an output, a g + b y + d as input_gradient() has it; y is not read where b is empty.
  struct OutputGradient {
    torch::Tensor g, y;
    const InputGradient* gradient;
  };
  /// Takes the gradient of max(x, 0) for `count` images from `first` on: dx [count, H, W, C].
  template <class T>
  using InputGradientSink = std::function<void(std::int64_t first, std::int64_t count, const T* dx)>;

  ConvStack() = default;
  /// Throws c10::Error for weights that do not fit.
  explicit ConvStack(std::vector<Conv> convs);

  [[nodiscard]] bool empty() const { return convs_.empty(); }

  /// x [B, C, H, W], channels-last, float32, float64 or bfloat16: every convolution's output.
  [[nodiscard]] std::vector<Output> forward(const torch::Tensor& x, bool moments) const;

  /// The gradients of the weights, one a convolution, or none where not asked for; T: the kernels' type of x. Hands the
  /// input's gradient to the sink, unless that is empty, in parallel.
  template <class T>
  [[nodiscard]] std::vector<torch::Tensor> backward(const torch::Tensor& x, std::span<const OutputGradient> gradients,
                                                    bool weights, const InputGradientSink<T>& sink) const;

 private:
  enum class First { input_channels, output_channels };
  [[nodiscard]] std::vector<Output> forward_by_library(const torch::Tensor& x, bool moments) const;
  [[nodiscard]] std::vector<torch::Tensor> backward_by_library(const torch::Tensor& x,
                                                               std::span<const OutputGradient> gradients, bool weights,
                                                               const InputGradientSink<Bf16>& sink) const;
  [[nodiscard]] torch::Tensor stacked_weights(at::ScalarType dtype) const;
  [[nodiscard]] torch::Tensor transformed(at::ScalarType dtype, First first) const;
  [[nodiscard]] ConvShape shape(const torch::Tensor& x) const;

  std::vector<Conv> convs_;
};

}  // namespace mixed_op
}  // namespace flowdarts
