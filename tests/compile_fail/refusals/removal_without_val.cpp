// Nothing to measure accuracy on.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, ValidationAccuracy>;
#else
using Searched = Method<EdgeSpace, Masked, SingleLevel, ValidationAccuracy>;
#endif

Searched::Options options;
