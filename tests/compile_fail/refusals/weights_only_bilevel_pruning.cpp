// Pruning V by errors of arch steps that never happen.

#include "policies.hpp"

#ifdef FLOWDARTS_EXPECT_OK
using Searched = Method<EdgeSpace, WeightsOnly, FeatureMeasure, TrainOnlyPruning>;
#else
using Searched = Method<EdgeSpace, WeightsOnly, FeatureMeasure, BilevelDataPruning>;
#endif

Searched::Options options;
