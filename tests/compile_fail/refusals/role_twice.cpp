// One policy for each role.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, BilevelDataPruning>;
#else
using Searched = Method<EdgeSpace, BilevelDataPruning, RandomSubset>;
#endif

Searched::Options options;
