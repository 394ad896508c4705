// A bilevel order beside a relaxation without alpha.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, Masks, WeightsOnly, FeatureMeasure>;
#else
using Searched = Method<EdgeSpace, Masks, FeatureMeasure>;
#endif

Searched::Options options;
