// A space whose supernets have one depth.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, ProgressiveStages>;
#else
using Searched = Method<ChainSpace, ProgressiveStages>;
#endif

Searched::Options options;
