#pragma once
// What changes from epoch to epoch of a training. No LibTorch.

#include <flowdarts/pipeline/training/options.hpp>

#include <cstdint>
#include <string_view>

namespace flowdarts {

/// The warm-up epochs w of a training in batches of that size: none for batches that need none.
std::int64_t warmup_epochs(const ScheduleOptions& options, std::int64_t batch_size);

/// Throws InputError where the schedule does not fit into so many epochs.
void check_schedule(const ScheduleOptions& options, std::int64_t epochs, std::int64_t batch_size);

/// The learning rate of epoch e, counted from 0, of E. With b = --lr:
///
///   cosine   lr_min + (b - lr_min) (1 + cos(pi (e - w) / (E - w))) / 2, and lr_min for e >= E - w: it counts from the
///            end of the warm-up and is over w epochs before the end, as in AutoDL-Projects and IS-DARTS
///   step     b f^floor(e / s)
///   linear   b (E - 5 - e) / (E - 5) for e < E - 5, then b (E - e) / (5 (E - 5)), as PC-DARTS and P-DARTS on ImageNet
///
/// and for e < w
///
///   proportional   b (e + 1) / w             (PC-DARTS)
///   scaled         schedule(e) (e + 1) / w   (P-DARTS)
///   from           b0 + (b - b0) e / w with b0 = --warmup-lr   (EfficientNet, DNA)
double learning_rate(const ScheduleOptions& options, std::int64_t epoch, std::int64_t epochs, std::int64_t batch_size);

/// The probability of dropping a path in epoch e of E: p e / E in the spaces of cells (DARTS), p in the MobileNet-like
/// one.
double drop_path_probability(double probability, std::string_view space, std::int64_t epoch, std::int64_t epochs);

}  // namespace flowdarts
