// Dropout makes two passes two networks.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, Unnormalised, HardPrune, ValidationAccuracy>;
#else
using Searched = Method<EdgeSpace, Unnormalised, HardPrune, ValidationAccuracy, SecondOrder>;
#endif

Searched::Options options;
