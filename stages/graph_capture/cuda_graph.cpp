#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <flowdarts/stages/graph_capture/cuda_graph.hpp>
#include <memory>

namespace flowdarts {
namespace {

class CudaGraph final : public RecordedWork {
 public:
  using Pool = std::shared_ptr<const at::cuda::MempoolId_t>;

  CudaGraph(const torch::Device& device, Pool pool) : device_(device), pool_(std::move(pool)) {}

  ~CudaGraph() override {
    // A graph must not go while it runs.
    if (const auto status = cudaStreamSynchronize(last_stream_); status != cudaSuccess) {
      TORCH_WARN("waiting for a CUDA graph before it goes: ", cudaGetErrorString(status));
    }
  }

  void record(const std::function<void()>& work) override {
    // What is recorded does not run, so the stream it is recorded on has nothing to wait for.
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device_.index()));
    // Of this thread alone: others allocate, copy and sort meanwhile.
    graph_.capture_begin(*pool_, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      end_quietly();
      throw;
    }
    graph_.capture_end();
  }

  void launch() override {
    const c10::cuda::CUDAGuard guard(device_);
    last_stream_ = c10::cuda::getCurrentCUDAStream(device_.index()).stream();
    graph_.replay();
  }

 private:
  // Takes the stream out of recording; what was recorded is of no use.
  void end_quietly() {
    try {
      graph_.capture_end();
    } catch (const c10::Error&) {  // what broke the recording is thrown on already
    }
  }

  torch::Device device_;
  Pool pool_;  // goes after the graph
  at::cuda::CUDAGraph graph_;
  cudaStream_t last_stream_ = nullptr;
};

}  // namespace

Recorders cuda_recorders(const torch::Device& device) {
  // LibTorch takes a pool back once its last graph is gone, and wants none that it took back.
  return [device, shared = std::weak_ptr<const at::cuda::MempoolId_t>()]() mutable {
    CudaGraph::Pool pool = shared.lock();
    if (!pool) shared = pool = std::make_shared<const at::cuda::MempoolId_t>(at::cuda::graph_pool_handle());
    const c10::cuda::CUDAGuard guard(device);
    return std::make_unique<CudaGraph>(device, std::move(pool));
  };
}

}  // namespace flowdarts
