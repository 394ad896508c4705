// Strength where no alpha is trained.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, Masked, SingleLevel, FeatureInformation>;
#else
using Searched = Method<EdgeSpace, SingleLevel, OperationStrength>;
#endif

Searched::Options options;
