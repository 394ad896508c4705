// There is no normal cell to limit the skips of.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, ProgressiveStages>;
#else
using Searched = Method<EdgeSpace, ProgressiveStages, SkipLimitedMagnitude>;
#endif

Searched::Options options;
