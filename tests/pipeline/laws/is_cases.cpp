#include "laws.hpp"

namespace flowdarts::testing {

std::vector<LawCase> is_cases() {
  return {
      {.name = "IsDarts", .run = run_search<recipes::IsDarts<LawSpace>>, .narrows = true, .measures = true},
      {.name = "IDarts", .run = run_search<recipes::IDarts<LawSpace>>, .measures = true},
      {.name = "SDarts", .run = run_search<recipes::SDarts<LawSpace>>, .narrows = true},
      {.name = "IsWithTrainPruning",
       .run = run_search<Method<LawSpace, TrainDataPruning, Masked, SingleLevel, ImportanceShrink, FeatureInformation>>,
       .narrows = true}};
}

}  // namespace flowdarts::testing
