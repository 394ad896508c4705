#pragma once
// A search's supernet, read back from a checkpoint by a program that knows no method.

#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/spaces/weights.hpp>
#include <map>
#include <string>

namespace flowdarts::app {

/// Weights, statistics and alpha under the names of the space's published search network, and what is to be known about
/// them: "space", "genotype" (where there is one yet), "epochs", "policies", and "ops_left" where ops were taken out: a
/// row-major matrix of 0 and 1 for each of alpha, as JSON.
struct SearchedSupernet {
  Weights weights;
  std::map<std::string, std::string> facts;
};

/// Throws InputError, naming `where`, for a space that there is not, and where the tensors are not those of the network
/// that the checkpoint's options describe (a policy of somebody's own may form another one).
SearchedSupernet read_supernet(const Checkpoint& checkpoint, const std::string& where);

}  // namespace flowdarts::app
