// Only one rule can define the result.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, BestOpOfEdge>;
#else
using Searched = Method<EdgeSpace, BestOpOfEdge, FeatureMeasure>;
#endif

Searched::Options options;
