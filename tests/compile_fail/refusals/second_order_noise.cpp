// The two passes of the difference quotient would see different networks.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, SecondOrder, ReplayedSamples>;
#else
using Searched = Method<EdgeSpace, SecondOrder, HardSamples>;
#endif

Searched::Options options;
