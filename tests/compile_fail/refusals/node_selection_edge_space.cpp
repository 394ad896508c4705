// Two inputs a node where every edge keeps one op.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<NodeSpace, TwoInputsOfNode>;
#else
using Searched = Method<EdgeSpace, TwoInputsOfNode>;
#endif

Searched::Options options;
