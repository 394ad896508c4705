// There is no alpha to decay.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, Unnormalised, SoftPruneLinear, ValidationAccuracy>;
#else
using Searched = Method<EdgeSpace, Masked, SingleLevel, SoftPruneLinear, FeatureInformation>;
#endif

Searched::Options options;
