// A need must be met by the space or by another policy.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, GradientMeasure>;
#else
using Searched = Method<EdgeSpace, GradientMeasure, HardSamples>;
#endif

Searched::Options options;
