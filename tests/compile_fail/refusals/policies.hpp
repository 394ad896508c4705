#pragma once
// Policies and spaces that say what the refusals look at and do nothing else. Those the project has are taken from it.

#include <flowdarts/policies/recipes.hpp>

using namespace flowdarts;

template <class Role>
struct Policy {
  using role = Role;
  static constexpr const char* name = "";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;
};

struct EdgeSpace {
  static constexpr auto provides = capabilities<tags::one_op_per_edge, tags::any_depth>;
  static constexpr auto needs = capabilities<>;
};

struct NodeSpace {
  static constexpr auto provides = capabilities<tags::two_inputs_per_node>;
  static constexpr auto needs = capabilities<>;
};

struct PartialSpace {
  static constexpr auto provides = capabilities<tags::one_op_per_edge, tags::partial_channels>;
  static constexpr auto needs = capabilities<>;
};

/// As the MobileNet-like space: neither can channels be parted nor cells be added.
struct ChainSpace {
  static constexpr auto provides = capabilities<tags::one_op_per_edge>;
  static constexpr auto needs = capabilities<>;
};

// Relaxations.

/// Binary masks: there is no alpha.
struct Masks : Policy<roles::Relaxation> {
  static constexpr auto provides = capabilities<tags::all_ops_run>;
};

/// One sampled op an edge: the others are not run.
struct HardSamples : Policy<roles::Relaxation> {
  static constexpr auto provides = capabilities<tags::trainable_alpha, tags::stochastic>;
};

/// A mixing that no mask can be laid on.
struct Unmaskable : Policy<roles::Relaxation> {
  static constexpr auto provides = capabilities<tags::trainable_alpha, tags::all_ops_run>;
};

struct ReplayedSamples : Policy<roles::Relaxation> {
  static constexpr auto provides = capabilities<tags::trainable_alpha, tags::stochastic, tags::replayable_noise>;
};

// Orders.

struct WeightsOnly : Policy<roles::Bilevel> {
  static constexpr auto provides = capabilities<tags::weights_only>;
};

struct JointLevel : Policy<roles::Bilevel> {
  static constexpr auto provides = capabilities<tags::joint_single_level, tags::alpha_grad>;
};

// Regularisers.

struct AlphaDecay : Policy<roles::ArchRegularizer> {
  static constexpr auto needs = capabilities<tags::trainable_alpha>;
};

// Data policies.

struct TrainOnlyPruning : Policy<roles::DataPruning> {
  static constexpr auto provides = capabilities<tags::prunes_train>;
  static constexpr auto needs = capabilities<tags::fixed_split>;
};

struct AllDataTrains : Policy<roles::DataPruning> {
  static constexpr auto provides = capabilities<tags::all_data_trains>;
};

struct ResampledSplit : Policy<roles::DataPruning> {
  static constexpr auto provides = capabilities<tags::resampled_split>;
};

/// An order that draws T and V anew.
struct ResamplingOrder : Policy<roles::Bilevel> {
  static constexpr auto provides = capabilities<tags::val_forward, tags::alpha_grad, tags::resampled_split>;
};

// Importance measures.

struct FeatureMeasure : Policy<roles::Importance> {};

struct SimplexMeasure : Policy<roles::Importance> {
  static constexpr auto needs = capabilities<tags::simplex_weights>;
};

struct BestOpOfEdge : Policy<roles::Importance> {
  static constexpr auto provides = capabilities<tags::one_op_per_edge>;
};

struct TwoInputsOfNode : Policy<roles::Importance> {
  static constexpr auto provides = capabilities<tags::two_inputs_per_node>;
};
