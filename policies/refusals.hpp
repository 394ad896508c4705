#pragma once
// The combinations that are refused at compile time. Each refusal is a template over the policies it names, so that the
// compiler's "required from" line shows them next to the message.

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <type_traits>

namespace flowdarts::refusals {

/// Two data policies of which one needs the sets that the other one moves.
template <class First, class Second>
inline constexpr bool moves_fixed_sets = (needs<First, tags::fixed_split> && provides<Second, tags::resampled_split>) ||
                                         (needs<Second, tags::fixed_split> && provides<First, tags::resampled_split>);

/// Two orders of which one unrolls a level that the other one does not have.
template <class First, class Second>
inline constexpr bool unrolls_single_level =
    (provides<First, tags::unrolled> &&
     (provides<Second, tags::weights_only> || provides<Second, tags::joint_single_level>)) ||
    (provides<Second, tags::unrolled> &&
     (provides<First, tags::weights_only> || provides<First, tags::joint_single_level>));

/// Says the most telling of the reasons why two policies cannot play one role.
template <class Role, class First, class Second>
struct RoleGivenTwice {
  static constexpr bool selects = std::is_same_v<Role, roles::Importance>;
  static constexpr bool unrolls = unrolls_single_level<First, Second>;
  static constexpr bool moves = moves_fixed_sets<First, Second>;
  static_assert(!selects, "exactly one selection rule");
  static_assert(!unrolls, "second order is defined only for bilevel search");
  static_assert(!moves, "progressive pruning needs a fixed split");
  static_assert(selects || unrolls || moves, "a role is given twice: a method takes one policy for each role");
};

template <class Policy, class Tag>
struct NeedNobodyProvides {
  static_assert(std::is_same_v<Policy, void>,
                "a policy needs a capability that neither the space nor another policy provides");
};

/// A policy that reads trained alpha beside an order that trains none.
template <class Order, class AlphaPolicy>
struct NoAlphaTrained {
  static_assert(!(provides<Order, tags::weights_only> && needs<AlphaPolicy, tags::trainable_alpha>),
                "this order trains no architecture parameters; choose an importance measure that does not need them "
                "(IIM, removal accuracy)");
};

/// Pruning V by the errors of the arch steps where there are none.
template <class Order, class Data>
struct NoValidationSetToPrune {
  static_assert(!(provides<Data, tags::prunes_val> && needs<Data, tags::val_forward> &&
                  !provides<Order, tags::val_forward>),
                "bi-level pruning needs a validation set; use the train-only variant (p_v = 0) or a bilevel order");
};

template <class Order, class Data>
struct OverlappingSets {
  static_assert(!(provides<Data, tags::all_data_trains> && provides<Order, tags::val_forward>),
                "a bilevel order needs disjoint training and validation data");
};

template <class Order, class Noisy>
struct UnrolledThroughNoise {
  static_assert(!(provides<Order, tags::unrolled> && provides<Noisy, tags::stochastic> &&
                  !provides<Noisy, tags::replayable_noise>),
                "second order needs a deterministic forward; enable noise replay or use first order");
};

template <class Data, class Other>
struct ProgressivePruningOfMovingSets {
  static_assert(!(needs<Data, tags::fixed_split> && provides<Other, tags::resampled_split>),
                "progressive pruning needs a fixed split");
};

template <class Space, class Selection>
struct SelectionDoesNotFit {
  static_assert(!((provides<Selection, tags::two_inputs_per_node> && provides<Space, tags::one_op_per_edge>) ||
                  (provides<Selection, tags::one_op_per_edge> && provides<Space, tags::two_inputs_per_node>)),
                "selection rule does not fit the search space");
};

/// Measures and losses that hold for one way of mixing only.
template <class Relaxation, class Policy>
struct OtherMixing {
  template <class Tag>
  static constexpr bool missing = needs<Policy, Tag> && !provides<Relaxation, Tag>;
  static_assert(!missing<tags::alpha_grad_is_strength>,
                "operation strength equals the absolute alpha gradient only for softmax mixing; use the explicit "
                "feature-based measure");
  static_assert(!missing<tags::softmax_mixing>, "beta-decay is defined for softmax mixing");
  static_assert(!missing<tags::removable_by_zero>, "soft pruning scales mixing weights to zero and needs raw mixing");
  static_assert(!missing<tags::all_ops_run>, "this measure needs all candidate operations in the forward pass");
};

/// The capabilities whose absence OtherMixing tells.
template <class Tag>
inline constexpr bool is_of_mixing =
    std::is_same_v<Tag, tags::alpha_grad_is_strength> || std::is_same_v<Tag, tags::softmax_mixing> ||
    std::is_same_v<Tag, tags::removable_by_zero> || std::is_same_v<Tag, tags::all_ops_run>;

template <class Space, class Selection>
struct SkipLimitElsewhere {
  static_assert(!(needs<Selection, tags::skip_limit> && !provides<Space, tags::skip_limit>),
                "skip limit is defined for the DARTS space");
};

/// Stopping early what ends in an architecture only where all epochs run.
template <class Shrinking, class Stopping>
struct ScheduleCutShort {
  static_assert(!(provides<Shrinking, tags::shrinks_on_schedule> && provides<Stopping, tags::stops_early>),
                "early stopping would cut the shrink schedule");
};

/// What an order refuses beside it; checked for the method's order and each of its policies.
template <class Order, class Other>
struct BesideOrder : NoAlphaTrained<Order, Other>,
                     NoValidationSetToPrune<Order, Other>,
                     OverlappingSets<Order, Other>,
                     UnrolledThroughNoise<Order, Other> {};

}  // namespace flowdarts::refusals
