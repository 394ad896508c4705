// Nothing to unroll.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, SecondOrder>;
#else
using Searched = Method<EdgeSpace, SecondOrder, JointLevel>;
#endif

Searched::Options options;
