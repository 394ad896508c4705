// With raw alphas the gradient is not the change that selecting an op makes.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, OperationStrength>;
#else
using Searched = Method<EdgeSpace, OperationStrength, Unnormalised>;
#endif

Searched::Options options;
