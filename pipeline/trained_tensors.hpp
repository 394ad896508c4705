#pragma once
// What a search trains, as its checkpoints hold it and its refusals look at it.

#include <flowdarts/pipeline/messages.hpp>
#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/policies/shrinking/narrow.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/stages/arch_step/adam.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>

#include <torch/torch.h>

#include <span>
#include <string>
#include <vector>

namespace flowdarts {

/// Weights and statistics with their momentum, alpha with its moments.
struct TrainedTensors {
  Supernet& supernet;
  const Sgd& sgd;
  Adam& adam;
};

/// The section of the running statistics, and that of those that another process than the first one has.
inline constexpr const char* statistics_section = "statistics";
std::string statistics_of(std::size_t rank);

/// As sections of a checkpoint; masks where some op may be gone.
void put_tensors(Snapshot& snapshot, const TrainedTensors& trained, const OpMasks& masks);

/// What put_tensors() wrote, less the masks. Throws InputError where it does not fit.
void get_tensors(const Checkpoint& checkpoint, const TrainedTensors& trained);

/// The masks that put_tensors() wrote. `all` has their sizes; throws InputError where they are others.
OpMasks get_masks(ByteReader reader, const OpMasks& all);

/// The first of alpha, weights and, if asked, statistics that holds a NaN or an infinity, with that value; empty when
/// all are finite.
std::string first_non_finite(const TrainedTensors& trained, bool with_statistics);

/// Masks that leave all ops.
OpMasks all_left(std::span<const ArchShape> shapes);

/// 1 where an op is left and 0 elsewhere, [rows, columns] each.
std::vector<torch::Tensor> to_tensors(const OpMasks& masks, std::span<const ArchShape> shapes, torch::Device device);

}  // namespace flowdarts
