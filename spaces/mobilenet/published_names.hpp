#pragma once
// Module names of ProxylessNAS (Cai, Zhu, Han, ICLR 2019). No LibTorch.

#include <flowdarts/spaces/export/published_names.hpp>

namespace flowdarts::mobilenet {

/// ProxylessNASNets of models/normal_nets: first_conv, blocks, feature_mix_layer, classifier. Block 0 is the fixed
/// one; layer l is block l + 1, which has no tensors where the layer is skipped (a ZeroLayer).
ModuleNames published_modules();

/// SuperProxylessNASNets of models, the supernet: candidate_ops of each searchable block. The alpha of a layer is its
/// parameter `AP_path_alpha`.
ModuleNames published_search_modules();

/// The module that chooses among a layer's candidates.
std::string published_choice(int layer);

}  // namespace flowdarts::mobilenet
