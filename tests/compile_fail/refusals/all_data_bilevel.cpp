// V would be a part of T.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, AllDataTrains, JointLevel>;
#else
using Searched = Method<EdgeSpace, AllDataTrains>;
#endif

Searched::Options options;
