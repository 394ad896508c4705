#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <flowdarts/stages/arch_step/adam_cuda.hpp>
#include <flowdarts/stages/weight_step/multi_tensor.hpp>
#include <flowdarts/stages/weight_step/optimizers_on_gpu.hpp>
#include <flowdarts/stages/weight_step/sgd_cuda.hpp>

namespace flowdarts::optimizer {

template <class T>
void sgd_step_on_gpu(const std::vector<torch::Tensor>& weights, const std::vector<torch::Tensor>& momentum,
                     const std::vector<torch::Tensor>& gradients, const torch::Tensor& lr, const SgdFactors& factors,
                     double clip) {
  const torch::Device device = weights.front().device();
  const c10::cuda::CUDAGuard guard(device);
  std::vector<SgdTensor<T>> tensors;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    tensors.push_back({.weight = weights[i].data_ptr<T>(),
                       .velocity = momentum[i].data_ptr<T>(),
                       .gradient = gradients[i].defined() ? gradients[i].const_data_ptr<T>() : nullptr,
                       .size = weights[i].numel()});
  }
  const std::span<const SgdTensor<T>> all(tensors);
  const torch::Tensor scratch = torch::empty({static_cast<std::int64_t>(sgd_scratch(all))},
                                             torch::TensorOptions().dtype(torch::kByte).device(device));
  const std::string failure = sgd_step_cuda(all, lr.const_data_ptr<double>(), factors, clip, scratch.mutable_data_ptr(),
                                            c10::cuda::getCurrentCUDAStream(device.index()).stream());
  TORCH_CHECK(failure.empty(), failure);
  for (const auto* changed : {&weights, &momentum}) {
    for (const torch::Tensor& tensor : *changed) mark_changed(tensor);
  }
}

template <class T>
void adam_step_on_gpu(const std::vector<torch::Tensor>& weights, const std::vector<torch::Tensor>& first,
                      const std::vector<torch::Tensor>& second, const std::vector<torch::Tensor>& gradients,
                      const torch::Tensor& changing, const AdamFactors& factors) {
  const torch::Device device = weights.front().device();
  const c10::cuda::CUDAGuard guard(device);
  std::vector<AdamTensor<T>> tensors;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    tensors.push_back({.weight = weights[i].data_ptr<T>(),
                       .first = first[i].data_ptr<T>(),
                       .second = second[i].data_ptr<T>(),
                       .gradient = gradients[i].const_data_ptr<T>(),
                       .size = weights[i].numel()});
  }
  const std::string failure = adam_step_cuda(std::span<const AdamTensor<T>>(tensors), changing.const_data_ptr<double>(),
                                             factors, c10::cuda::getCurrentCUDAStream(device.index()).stream());
  TORCH_CHECK(failure.empty(), failure);
  for (const auto* changed : {&weights, &first, &second}) {
    for (const torch::Tensor& tensor : *changed) mark_changed(tensor);
  }
}

#define FLOWDARTS_STEPS(T)                                                                                     \
  template void sgd_step_on_gpu<T>(const std::vector<torch::Tensor>&, const std::vector<torch::Tensor>&,       \
                                   const std::vector<torch::Tensor>&, const torch::Tensor&, const SgdFactors&, \
                                   double);                                                                    \
  template void adam_step_on_gpu<T>(const std::vector<torch::Tensor>&, const std::vector<torch::Tensor>&,      \
                                    const std::vector<torch::Tensor>&, const std::vector<torch::Tensor>&,      \
                                    const torch::Tensor&, const AdamFactors&);
FLOWDARTS_STEPS(float)
FLOWDARTS_STEPS(double)
#undef FLOWDARTS_STEPS

}  // namespace flowdarts::optimizer
