// Every stage must come to its end.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, ProgressiveStages>;
#else
using Searched = Method<EdgeSpace, ProgressiveStages, StableArchitecture>;
#endif

Searched::Options options;
