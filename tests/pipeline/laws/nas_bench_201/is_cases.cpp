#include "cases.hpp"

namespace flowdarts::testing {

std::vector<LawCase> is_cases() {
  constexpr LawTraits narrows{.narrows = true, .to_genotype = true};
  return {law_case<recipes::IsDarts<Searched>>("IsDarts", {.narrows = true, .to_genotype = true, .measures = true}),
          law_case<recipes::IDarts<Searched>>("IDarts", {.measures = true}),
          law_case<recipes::SDarts<Searched>>("SDarts", narrows),
          law_case<Method<Searched, TrainDataPruning, Masked, SingleLevel, ImportanceShrink, FeatureInformation>>(
              "IsWithTrainPruning", narrows)};
}

}  // namespace flowdarts::testing
