// The schedule must come to its end.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, ImportanceShrink>;
#else
using Searched = Method<EdgeSpace, ImportanceShrink, StableArchitecture>;
#endif

Searched::Options options;
