// Nor with one sampled op an edge.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, OperationStrengthStar>;
#else
using Searched = Method<EdgeSpace, OperationStrengthStar, HardSamples>;
#endif

Searched::Options options;
