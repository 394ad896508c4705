#include <algorithm>
#include <flowdarts/stages/graph_capture/step_graphs.hpp>
#ifdef FLOWDARTS_CUDA
#include <flowdarts/stages/graph_capture/cuda_graph.hpp>
#endif

namespace flowdarts {

Recorders recorders_for([[maybe_unused]] const std::vector<torch::Tensor>& tensors) {
#ifdef FLOWDARTS_CUDA
  if (!tensors.empty() && tensors.front().is_cuda()) return cuda_recorders(tensors.front().device());
#endif
  return {};
}

StepGraphs::Recording& StepGraphs::recording_for(const Tensors& inputs) {
  std::vector<Recording::Shape> shapes;
  for (const torch::Tensor& input : inputs) {
    shapes.push_back({input.sizes().vec(), input.strides().vec(), input.scalar_type()});
  }
  const auto found = std::ranges::find(recordings_, shapes, &Recording::shapes);
  if (found != recordings_.end()) {
    std::rotate(found, found + 1, recordings_.end());
  } else {
    if (recordings_.size() == most) recordings_.erase(recordings_.begin());
    recordings_.push_back({.shapes = std::move(shapes)});
  }
  return recordings_.back();
}

const StepGraphs::Tensors& StepGraphs::run(const Tensors& inputs, const Step& step) {
  Recording& recording = recording_for(inputs);
  if (!recording.met) {
    recording.outputs = step(inputs);
    recording.met = true;
    return recording.outputs;
  }
  const torch::NoGradGuard no_grad;
  if (!recording.work) {
    auto work = recorders_();
    recording.inputs.clear();
    for (const torch::Tensor& input : inputs) recording.inputs.push_back(torch::empty_like(input));
    work->record([&] {
      const torch::AutoGradMode grad(true);
      recording.outputs = step(recording.inputs);
    });
    recording.work = std::move(work);
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) recording.inputs[i].copy_(inputs[i], /*non_blocking=*/true);
  recording.work->launch();
  return recording.outputs;
}

}  // namespace flowdarts
