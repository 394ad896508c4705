// So must the stages of hard pruning.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, Unnormalised, GradualHardPrune, ValidationAccuracy>;
#else
using Searched = Method<EdgeSpace, Unnormalised, GradualHardPrune, ValidationAccuracy, StableArchitecture>;
#endif

Searched::Options options;
