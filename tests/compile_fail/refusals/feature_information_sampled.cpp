// Nor is the measured one.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, FeatureInformation>;
#else
using Searched = Method<EdgeSpace, FeatureInformation, HardSamples>;
#endif

Searched::Options options;
