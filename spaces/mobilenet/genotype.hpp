#pragma once
// An architecture of the MobileNet-like space: the op of each of its 21 layers. No LibTorch.

#include <array>
#include <flowdarts/spaces/mobilenet/chain.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts::mobilenet {

inline constexpr std::string_view space_name = "mobilenet";

/// `skip` only where may_skip(): what is read or derived here keeps to that.
struct Genotype {
  std::array<Op, layer_count> ops{};

  bool operator==(const Genotype&) const = default;
};

/// The layer string: the ops in the order of the layers, joined by commas, for example
/// `k3e6,k3e3,skip,skip,k5e6,k3e6,...`.
std::string to_string(const Genotype& genotype);

/// Reads exactly what to_string() writes. Throws InputError with the position (first character = 1) and layer (first
/// layer = 0), what was found there and what was expected.
Genotype parse_genotype(std::string_view text);

/// {"space": "mobilenet", "genotype": "k3e6,...", "ops": ["k3e6", ...]}, indented, with a final newline.
std::string to_json(const Genotype& genotype);

/// Reads what to_json() writes: "space" and "genotype" are required, "ops" must agree where present, other members are
/// ignored. Throws InputError.
Genotype from_json(std::string_view text);

/// The chain as a Graphviz digraph, a cluster a stage; layers that are skipped are dashed.
std::string to_dot(const Genotype& genotype);

/// The layers' ops as ProxylessNAS names them, for example `5x5_MBConv6`, and `Zero` for a skip.
std::vector<std::string> to_proxyless(const Genotype& genotype);

/// The stages 0 to 6 as block strings of the Python package timm, for example `ir_r1_k5_s2_e6_c40`: r blocks of kernel
/// k and expansion e to c channels, the first of them with stride s. Equal neighbours of a stage are one block string,
/// skipped layers none.
std::vector<std::vector<std::string>> to_timm(const Genotype& genotype, const Widths& widths = {});

/// The architecture of the largest scores (alpha or any importance): one row a layer, of columns_of(layer) numbers.
/// All ops compete, `skip` included; ties go to the lowest column. Throws InputError on another size or a NaN.
Genotype derive(const std::vector<std::vector<double>>& scores);

}  // namespace flowdarts::mobilenet
