// The variance of error needs the same samples in the same set for a window.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, ResampledSplit>;
#else
using Searched = Method<EdgeSpace, BilevelDataPruning, ResampledSplit>;
#endif

Searched::Options options;
