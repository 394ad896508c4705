// A loss on alpha where no alpha is trained.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, WeightsOnly, FeatureMeasure>;
#else
using Searched = Method<EdgeSpace, WeightsOnly, FeatureMeasure, AlphaDecay>;
#endif

Searched::Options options;
