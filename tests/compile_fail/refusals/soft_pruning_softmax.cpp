// An alpha of 0 is an average weight under softmax.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, Unnormalised, SoftPruneFixed, ValidationAccuracy>;
#else
using Searched = Method<EdgeSpace, SoftPruneFixed, ValidationAccuracy>;
#endif

Searched::Options options;
