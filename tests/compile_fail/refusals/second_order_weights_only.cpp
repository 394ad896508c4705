// Second order beside weights only, with the policies the other way round.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, SecondOrder>;
#else
using Searched = Method<EdgeSpace, WeightsOnly, SecondOrder>;
#endif

Searched::Options options;
