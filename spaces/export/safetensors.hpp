#pragma once
// Files of the safetensors format: named tensors without code.
//
//   8 bytes   u64 n, little endian
//   n bytes   JSON: {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ..., "__metadata__": texts by name},
//             padded with spaces to a multiple of 8 bytes
//   the rest  the tensors' bytes, row-major, little endian, without gaps; offsets count from here

#include <cstddef>
#include <cstdint>
#include <flowdarts/spaces/weights.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace flowdarts {

/// The file of float32 `tensors`. counters: tensors without axes of int64, all 0, such as PyTorch's batch norms count
/// their batches in. metadata: texts for whoever reads the file. Names are in alphabetical order. Throws
/// std::invalid_argument where a number of values is not the shape's or a name occurs twice.
std::vector<std::byte> to_safetensors(const Weights& tensors, const std::set<std::string>& counters = {},
                                      const std::map<std::string, std::string>& metadata = {});

}  // namespace flowdarts
