#pragma once
// As much of LibTorch as the declarations and inline bodies of the policies need. What is refused has nothing to do with
// tensors, and the real headers cost 14 s a compilation; nothing made with this is ever linked.

#include <cstdint>
#include <functional>
#include <vector>

namespace torch {

struct Anything {};
inline constexpr Anything kCPU, kDouble;

class Tensor {
 public:
  template <class... T>
  Tensor(T&&...);
  Tensor(const Tensor&);
  Tensor& operator=(const Tensor&);

#define FLOWDARTS_STAND_IN(function) \
  template <class... T>              \
  Tensor function(T&&...) const;
  FLOWDARTS_STAND_IN(abs)
  FLOWDARTS_STAND_IN(add_)
  FLOWDARTS_STAND_IN(all)
  FLOWDARTS_STAND_IN(clamp_min)
  FLOWDARTS_STAND_IN(clone)
  FLOWDARTS_STAND_IN(contiguous)
  FLOWDARTS_STAND_IN(detach)
  FLOWDARTS_STAND_IN(eq)
  FLOWDARTS_STAND_IN(index_select)
  FLOWDARTS_STAND_IN(logical_and)
  FLOWDARTS_STAND_IN(logical_not)
  FLOWDARTS_STAND_IN(masked_fill)
  FLOWDARTS_STAND_IN(mean)
  FLOWDARTS_STAND_IN(mul_)
  FLOWDARTS_STAND_IN(nonzero)
  FLOWDARTS_STAND_IN(squeeze)
  std::vector<Tensor> split_with_sizes(const std::vector<std::int64_t>&) const;
  FLOWDARTS_STAND_IN(sum)
  FLOWDARTS_STAND_IN(to)
  FLOWDARTS_STAND_IN(view)
  FLOWDARTS_STAND_IN(view_as)
#undef FLOWDARTS_STAND_IN
  bool defined() const;
  Anything device() const;
  Anything options() const;
  std::vector<std::int64_t> sizes() const;
  std::int64_t size(std::int64_t) const;
  std::int64_t numel() const;
  template <class T>
  const T* const_data_ptr() const;
};
template <class T>
Tensor operator*(const Tensor&, const T&);
template <class T>
Tensor operator/(const Tensor&, const T&);
Tensor operator+(const Tensor&, const Tensor&);

Tensor softmax(const Tensor& input, std::int64_t dim);
Tensor logsumexp(const Tensor& input, std::int64_t dim);
Tensor cat(const std::vector<Tensor>& tensors);
Tensor stack(const std::vector<Tensor>& tensors);
Tensor zeros_like(const Tensor& like);
template <class... T>
Tensor tensor(T&&...);

struct NoGradGuard {
  NoGradGuard();
  ~NoGradGuard();
};

namespace autograd {
std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const std::vector<Tensor>& grad_outputs = {}, bool retain_graph = false,
                         bool create_graph = false, bool allow_unused = false);
}  // namespace autograd

namespace nn {
class Module {
 public:
  virtual ~Module();
};
}  // namespace nn

}  // namespace torch
