// Where another role draws the sets anew.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, ResamplingOrder, RandomSubset>;
#else
using Searched = Method<EdgeSpace, ResamplingOrder, BilevelDataPruning>;
#endif

Searched::Options options;
