// BDP of V where all images train w.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, Masked, SingleLevel, FeatureInformation, TrainDataPruning>;
#else
using Searched = Method<EdgeSpace, Masked, SingleLevel, FeatureInformation, BilevelDataPruning>;
#endif

Searched::Options options;
