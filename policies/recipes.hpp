#pragma once
// The named methods. A recipe is a Method over any space; what it does not name is DARTS'. One line each: CMake reads
// the names off this file.

#include <flowdarts/policies/arch_regularizer/beta_decay.hpp>
#include <flowdarts/policies/bilevel/second_order.hpp>
#include <flowdarts/policies/bilevel/single_level.hpp>
#include <flowdarts/policies/data_pruning/bilevel_data_pruning.hpp>
#include <flowdarts/policies/data_pruning/one_shot_el2n.hpp>
#include <flowdarts/policies/data_pruning/random_subset.hpp>
#include <flowdarts/policies/data_pruning/train_data_pruning.hpp>
#include <flowdarts/policies/importance/feature_information.hpp>
#include <flowdarts/policies/importance/naive_pruning.hpp>
#include <flowdarts/policies/importance/operation_strength.hpp>
#include <flowdarts/policies/importance/operation_strength_star.hpp>
#include <flowdarts/policies/importance/skip_limited_magnitude.hpp>
#include <flowdarts/policies/importance/validation_accuracy.hpp>
#include <flowdarts/policies/method.hpp>
#include <flowdarts/policies/relaxation/masked.hpp>
#include <flowdarts/policies/relaxation/partial_channel.hpp>
#include <flowdarts/policies/relaxation/unnormalised.hpp>
#include <flowdarts/policies/shrinking/gradual_hard_prune.hpp>
#include <flowdarts/policies/shrinking/hard_prune.hpp>
#include <flowdarts/policies/shrinking/importance_shrink.hpp>
#include <flowdarts/policies/shrinking/progressive_stages.hpp>
#include <flowdarts/policies/shrinking/soft_prune_fixed.hpp>
#include <flowdarts/policies/shrinking/soft_prune_linear.hpp>
#include <flowdarts/policies/stopping/stable_architecture.hpp>
#include <type_traits>

namespace flowdarts::recipes {

// clang-format off

// Liu, Simonyan, Yang, ICLR 2019.
template <class Space>
using Darts = Method<Space>;
template <class Space>
using DartsSecondOrder = Method<Space, SecondOrder>;

// Tu et al., 2023.
template <class Space>
using BdpDarts = Method<Space, BilevelDataPruning>;
template <class Space>
using BdpBetaDarts = Method<Space, BetaDecay, BilevelDataPruning>;

// Ye et al., CVPR 2022.
template <class Space>
using BetaDarts = Method<Space, BetaDecay>;

// Xu et al., ICLR 2020.
template <class Space>
using PcDarts = Method<Space, PartialChannel>;
template <class Space>
using BdpPcDarts = Method<Space, PartialChannel, BilevelDataPruning>;

// Chen et al., ICCV 2019; with the limit on skips where the space has one.
template <class Space>
using PDarts = std::conditional_t<provides<Space, tags::skip_limit>, Method<Space, ProgressiveStages, SkipLimitedMagnitude>, Method<Space, ProgressiveStages>>;
template <class Space>
using BdpPDarts = std::conditional_t<provides<Space, tags::skip_limit>, Method<Space, ProgressiveStages, SkipLimitedMagnitude, BilevelDataPruning>, Method<Space, ProgressiveStages, BilevelDataPruning>>;

// OStr-DARTS, and the criteria it is compared with.
template <class Space>
using OstrDarts = Method<Space, OperationStrength, StableArchitecture>;
template <class Space>
using OstrDartsStar = Method<Space, OperationStrengthStar>;
template <class Space>
using OstrPcDarts = Method<Space, PartialChannel, OperationStrength>;
template <class Space>
using NaivePruningDarts = Method<Space, NaivePruning>;

// VP-DARTS and its ablations.
template <class Space>
using VpDartsFixed = Method<Space, Unnormalised, SoftPruneFixed, ValidationAccuracy>;
template <class Space>
using VpDartsLinear = Method<Space, Unnormalised, SoftPruneLinear, ValidationAccuracy>;
template <class Space>
using VpDartsHard = Method<Space, Unnormalised, HardPrune, ValidationAccuracy>;
template <class Space>
using VpDartsGradual = Method<Space, Unnormalised, GradualHardPrune, ValidationAccuracy>;
template <class Space>
using VpDartsAlphaValue = Method<Space, Unnormalised, SoftPruneFixed, Magnitude>;

// IS-DARTS and its ablations.
template <class Space>
using IsDarts = Method<Space, Masked, SingleLevel, ImportanceShrink, FeatureInformation>;
template <class Space>
using IDarts = Method<Space, Masked, SingleLevel, FeatureInformation>;
template <class Space>
using SDarts = Method<Space, ImportanceShrink>;

// clang-format on

}  // namespace flowdarts::recipes
