// One op an edge where every node keeps two inputs.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, BestOpOfEdge>;
#else
using Searched = Method<NodeSpace, BestOpOfEdge>;
#endif

Searched::Options options;
