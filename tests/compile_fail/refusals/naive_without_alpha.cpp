// Gradients of op weights where there is no arch step.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, NaivePruning>;
#else
using Searched = Method<EdgeSpace, SingleLevel, NaivePruning>;
#endif

Searched::Options options;
