// A space whose supernets cannot part their channels.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<PartialSpace, PartialChannel>;
#else
using Searched = Method<EdgeSpace, PartialChannel>;
#endif

Searched::Options options;
