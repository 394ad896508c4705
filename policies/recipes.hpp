#pragma once
// The named methods. A recipe is a Method over any space; what it does not name is DARTS'.

#include <flowdarts/policies/bilevel/second_order.hpp>
#include <flowdarts/policies/data_pruning/bilevel_data_pruning.hpp>
#include <flowdarts/policies/data_pruning/one_shot_el2n.hpp>
#include <flowdarts/policies/data_pruning/random_subset.hpp>
#include <flowdarts/policies/method.hpp>

namespace flowdarts::recipes {

template <class Space>
using Darts = Method<Space>;

template <class Space>
using DartsSecondOrder = Method<Space, SecondOrder>;

template <class Space>
using BdpDarts = Method<Space, BilevelDataPruning>;

}  // namespace flowdarts::recipes
