#pragma once
// Method<Space, Policies...>: a search method as a compile-time map from roles to policies. Roles nobody fills get
// DARTS' policy; contradictions do not compile (refusals.hpp).

#include <boost/hana.hpp>
#include <flowdarts/policies/arch_regularizer/none.hpp>
#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/data_pruning/none.hpp>
#include <flowdarts/policies/importance/magnitude.hpp>
#include <flowdarts/policies/refusals.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/policies/shrinking/none.hpp>
#include <flowdarts/policies/stopping/fixed_epochs.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

namespace detail {

namespace hana = boost::hana;

/// DARTS: what a method does in the roles it does not name (Liu, Simonyan, Yang: DARTS, ICLR 2019).
inline constexpr auto darts_policies =
    hana::make_map(hana::make_pair(hana::type_c<roles::Relaxation>, hana::type_c<Softmax>),
                   hana::make_pair(hana::type_c<roles::Bilevel>, hana::type_c<FirstOrder>),
                   hana::make_pair(hana::type_c<roles::ArchRegularizer>, hana::type_c<NoArchRegularizer>),
                   hana::make_pair(hana::type_c<roles::DataPruning>, hana::type_c<NoDataPruning>),
                   hana::make_pair(hana::type_c<roles::Shrinking>, hana::type_c<NoShrinking>),
                   hana::make_pair(hana::type_c<roles::Importance>, hana::type_c<Magnitude>),
                   hana::make_pair(hana::type_c<roles::Stopping>, hana::type_c<FixedEpochs>));

template <class Role, class... Policies>
constexpr auto policies_of_role() {
  return hana::filter(hana::tuple_t<Policies...>, [](auto policy) {
    return hana::bool_c<std::is_same_v<typename decltype(policy)::type::role, Role>>;
  });
}

template <class Role, class... Policies>
constexpr auto policy_of_role() {
  constexpr auto given = policies_of_role<Role, Policies...>();
  constexpr auto count = decltype(hana::length(given))::value;
  if constexpr (count == 0) {
    return darts_policies[hana::type_c<Role>];
  } else {
    if constexpr (count > 1) {
      using First = typename decltype(+given[hana::size_c<0>])::type;
      using Second = typename decltype(+given[hana::size_c<1>])::type;
      static_assert(sizeof(refusals::RoleGivenTwice<Role, First, Second>) > 0);
    }
    return given[hana::size_c<0>];
  }
}

}  // namespace detail

template <class SearchSpace, class... Policies>
class Method {
  static constexpr auto policies_by_role = boost::hana::unpack(roles::all, [](auto... role) {
    return boost::hana::make_map(
        boost::hana::make_pair(role, detail::policy_of_role<typename decltype(role)::type, Policies...>())...);
  });

 public:
  using Space = SearchSpace;

  /// The policy that plays a role.
  template <class Role>
  using Policy = typename decltype(+policies_by_role[boost::hana::type_c<Role>])::type;

  using Relaxation = Policy<roles::Relaxation>;
  using Bilevel = Policy<roles::Bilevel>;
  using ArchRegularizer = Policy<roles::ArchRegularizer>;
  using DataPruning = Policy<roles::DataPruning>;
  using Shrinking = Policy<roles::Shrinking>;
  using Importance = Policy<roles::Importance>;
  using Stopping = Policy<roles::Stopping>;

  /// The policies' options, by role.
  using Options = decltype(boost::hana::unpack(roles::all, [](auto... role) {
    return boost::hana::make_map(
        boost::hana::make_pair(role, typename Policy<typename decltype(role)::type>::Options{})...);
  }));

  /// (role, policy) names, in the order of roles::all.
  static std::vector<std::pair<std::string, std::string>> names() {
    std::vector<std::pair<std::string, std::string>> result;
    for_each_role([&]<class Role, class P>() { result.emplace_back(Role::name, P::name); });
    return result;
  }

  /// Calls f.template operator()<Role, Policy>() for each role.
  template <class F>
  static void for_each_role(F&& f) {
    boost::hana::for_each(roles::all, [&](auto role) {
      using Role = typename decltype(role)::type;
      f.template operator()<Role, Policy<Role>>();
    });
  }

 private:
  template <class A>
  static constexpr bool check_policy() {
    boost::hana::for_each(A::needs, [](auto tag) {
      using Tag = typename decltype(tag)::type;
      constexpr bool provided = provides<Space, Tag> || boost::hana::unpack(roles::all, [](auto... role) {
                                  return (provides<Policy<typename decltype(role)::type>, Tag> || ...);
                                });
      // Where a pairwise refusal says more than "nobody provides it", it alone speaks. Sets are fixed where no policy
      // moves them.
      constexpr bool said_there =
          (std::is_same_v<Tag, tags::trainable_alpha> && provides<Bilevel, tags::weights_only>) ||
          (std::is_same_v<Tag, tags::val_forward> && provides<A, tags::prunes_val>) ||
          std::is_same_v<Tag, tags::fixed_split> || std::is_same_v<Tag, tags::skip_limit> ||
          refusals::is_of_mixing<Tag>;
      if constexpr (!provided && !said_there) static_assert(sizeof(refusals::NeedNobodyProvides<A, Tag>) > 0);
    });
    static_assert(sizeof(refusals::BesideOrder<Bilevel, A>) > 0);
    static_assert(sizeof(refusals::OtherMixing<Relaxation, A>) > 0);
    static_assert(sizeof(refusals::ProgressivePruningOfMovingSets<DataPruning, A>) > 0);
    static_assert(sizeof(refusals::SelectionDoesNotFit<Space, A>) > 0);
    static_assert(sizeof(refusals::SkipLimitElsewhere<Space, A>) > 0);
    return true;
  }

  static constexpr bool check() {
    static_assert(sizeof(refusals::ScheduleCutShort<Shrinking, Stopping>) > 0);
    return boost::hana::unpack(
        roles::all, [](auto... role) { return (check_policy<Policy<typename decltype(role)::type>>() && ...); });
  }
  static_assert(check());
};

}  // namespace flowdarts
