#pragma once
// Module names of the DARTS repository (Liu, Simonyan, Yang, ICLR 2019). No LibTorch.

#include <flowdarts/spaces/darts/spec.hpp>
#include <flowdarts/spaces/export/published_names.hpp>

namespace flowdarts::darts {

/// NetworkCIFAR and NetworkImageNet of cnn/model.py: stem (stem0, stem1), cells, auxiliary_head, classifier.
ModuleNames published_modules(const Genotype& genotype, const NetworkSpec& spec);

/// Network of cnn/model_search.py, the supernet; PC-DARTS' has the same names. What IS-DARTS adds has those of
/// AutoDL-Projects: lastact, the batch norm before the classifier. Alpha is called `alphas_normal` and `alphas_reduce`,
/// edge weights are `betas_normal` and `betas_reduce`.
ModuleNames published_search_modules(const SupernetSpec& spec);

}  // namespace flowdarts::darts
