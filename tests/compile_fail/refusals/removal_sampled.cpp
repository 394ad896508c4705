// The removed op is usually not run.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, ValidationAccuracy>;
#else
using Searched = Method<EdgeSpace, ValidationAccuracy, HardSamples>;
#endif

Searched::Options options;
