#pragma once
// As much of LibTorch as the declarations of the default policies need. What is refused has nothing to do with tensors,
// and the real headers cost 14 s a compilation; nothing made with this is ever linked.

#include <cstdint>
#include <functional>
#include <vector>

namespace torch {

class Tensor {};
Tensor softmax(const Tensor& input, std::int64_t dim);

namespace autograd {
std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs);
}  // namespace autograd

}  // namespace torch
