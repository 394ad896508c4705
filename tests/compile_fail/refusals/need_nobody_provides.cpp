// A need must be met by the space or by another policy.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, SimplexMeasure>;
#else
using Searched = Method<EdgeSpace, SimplexMeasure, HardSamples>;
#endif

Searched::Options options;
