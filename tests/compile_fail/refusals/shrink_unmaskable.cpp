// Ops are taken out by masks.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, ImportanceShrink>;
#else
using Searched = Method<EdgeSpace, ImportanceShrink, Unmaskable>;
#endif

Searched::Options options;
