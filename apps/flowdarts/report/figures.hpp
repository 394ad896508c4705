#pragma once
// The figures of runs: which there are, and what they show. Runs without the data of a figure are left out of it, and a
// figure without data is not made.

#include <span>
#include <string>
#include <vector>

#include "figure.hpp"
#include "groups.hpp"
#include "run.hpp"

namespace flowdarts::report {

/// By epoch: loss, accuracy, true accuracy, samples left, class balance, eigenvalues of the Hessian. Of one run T and V
/// share a panel; of several each has its own, with a line a run, and the mean of a group of several.
std::vector<Figure> curves(std::span<const Run> runs, std::span<const Group> groups);

/// Seconds by stage: of one run by epoch, of several by run.
std::vector<Figure> stage_times(std::span<const Run> runs);

/// The figures of one run; `prefix` begins their names.
std::vector<Figure> cell_drawings(const Run& run, const std::string& prefix);
/// Op weights, importances and how long each op was there, for the newest architecture, whose ops are framed (Figure 4
/// of BDP-DARTS).
std::vector<Figure> heat_maps(const Run& run, const std::string& prefix);
/// Op weights and importances of each op by epoch: the mean over the edges, then each edge (as Figure 4 of IS-DARTS).
std::vector<Figure> importance_curves(const Run& run, const std::string& prefix);

/// A stage of `seconds` in words, and whether it ran beside others, so that its time is no part of the epoch's.
std::string stage_name(const std::string& stage);
bool is_beside_others(const std::string& stage);

/// A data set of true accuracies in words.
std::string data_set_title(const std::string& name);

}  // namespace flowdarts::report
