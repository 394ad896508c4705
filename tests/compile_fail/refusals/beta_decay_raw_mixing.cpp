// Log-sum-exp would pull raw alphas to minus infinity.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, BetaDecay>;
#else
using Searched = Method<EdgeSpace, BetaDecay, Unnormalised>;
#endif

Searched::Options options;
