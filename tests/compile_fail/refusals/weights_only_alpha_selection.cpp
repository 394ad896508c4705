// Ranking by alpha where no alpha is trained.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, WeightsOnly, FeatureMeasure>;
#else
using Searched = Method<EdgeSpace, WeightsOnly>;
#endif

Searched::Options options;
