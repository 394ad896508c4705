#pragma once
// The processes that test_ranks runs in.

#include <flowdarts/stages/ranks/ranks.hpp>

namespace flowdarts::testing {

/// main()'s. Every case makes the same collective calls in every rank.
inline Ranks* ranks = nullptr;

}  // namespace flowdarts::testing
