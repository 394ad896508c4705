#pragma once
// Where a search's tensors live, and how LibTorch computes there.

#include <flowdarts/pipeline/options.hpp>
#include <flowdarts/stages/ranks/ranks.hpp>

#include <torch/torch.h>

namespace flowdarts {

/// Throws InputError for options of the device that do not fit one another or the environment. Whether the device is
/// there is open_device()'s question.
void check_device(const RunOptions& options);

/// Makes LibTorch compute on GPUs as the options say, in the whole process: float32 in TF32 or not; with
/// --deterministic, operators of which every run gives the same bits, else the fastest ones. Sets
/// CUBLAS_WORKSPACE_CONFIG where a deterministic cuBLAS needs it and nobody has set it, so it must be called before
/// other threads run and before cuBLAS is used.
void set_gpu_arithmetic(const RunOptions& options);

/// Gives each of a host's processes a GPU of its own, by CUDA_VISIBLE_DEVICES, unless each sees one alone already (as
/// with srun --gpus-per-task). Before CUDA is used and other threads run.
void choose_gpu(const Ranks& ranks);

/// The device of --device, with set_gpu_arithmetic() done where it is a GPU. Throws InputError where it is not there.
torch::Device open_device(const RunOptions& options);

}  // namespace flowdarts
