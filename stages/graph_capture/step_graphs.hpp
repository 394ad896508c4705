#pragma once
// Runs a step as a CUDA graph: recorded once for each shape of its inputs, then launched whole, so that the host issues
// one launch where it issued a thousand.

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace flowdarts {

/// Device work that was recorded and can be launched again.
class RecordedWork {
 public:
  RecordedWork() = default;
  RecordedWork(const RecordedWork&) = delete;
  RecordedWork& operator=(const RecordedWork&) = delete;
  virtual ~RecordedWork() = default;

  /// Records what `work` enqueues, without running it. Throws what `work` throws.
  virtual void record(const std::function<void()>& work) = 0;

  /// Enqueues it on the current stream.
  virtual void launch() = 0;
};

/// Makes recorders; empty where a device has none.
using Recorders = std::function<std::unique_ptr<RecordedWork>()>;

/// CUDA graphs where the tensors that a step changes lie on a GPU, in a build with FLOWDARTS_CUDA; empty otherwise. All
/// graphs of one Recorders share memory for what they compute on the way: they must be launched on one stream.
Recorders recorders_for(const std::vector<torch::Tensor>& tensors);

/// The recordings of one step.
///
/// A step can be recorded when it enqueues the same work every time: it neither reads a tensor's values on the host nor
/// takes from there a number that changes. Such numbers lie in device memory, which each launch reads anew; so do
/// weights, statistics and whatever else the step changes in place.
class StepGraphs {
 public:
  using Tensors = std::vector<torch::Tensor>;
  using Step = std::function<Tensors(const Tensors& inputs)>;

  explicit StepGraphs(Recorders recorders) : recorders_(std::move(recorders)) {}

  /// Whether run() may be called.
  [[nodiscard]] bool available() const { return static_cast<bool>(recorders_); }

  /// One step(inputs), whose result the tensors returned hold until the next call. The first call with inputs of some
  /// shapes runs the step as it is, which lets libraries choose their algorithms; the second records it; from then on
  /// inputs are copied to where the recording reads them. The recordings of the `most` shapes used last are kept.
  const Tensors& run(const Tensors& inputs, const Step& step);

  /// Forgets all recordings: to be called when the step enqueues other work than before, as after a supernet's ops
  /// changed.
  void clear() { recordings_.clear(); }

  static constexpr std::size_t most = 4;  // whole and last batches of now and of before the data was pruned

 private:
  struct Recording {
    struct Shape {
      std::vector<std::int64_t> sizes, strides;
      at::ScalarType type;
      friend bool operator==(const Shape&, const Shape&) = default;
    };
    std::vector<Shape> shapes;
    Tensors inputs, outputs;
    bool met = false;                    // the step ran with such inputs
    std::unique_ptr<RecordedWork> work;  // null before the second time
  };

  Recording& recording_for(const Tensors& inputs);

  Recorders recorders_;
  std::vector<Recording> recordings_;  // the one used last at the end
};

}  // namespace flowdarts
