#include "cases.hpp"

namespace flowdarts::testing {

std::vector<LawCase> vp_cases() {
  return {law_case<recipes::VpDartsFixed<Searched>>("VpDartsFixed"),
          law_case<recipes::VpDartsLinear<Searched>>("VpDartsLinear"),
          law_case<recipes::VpDartsHard<Searched>>("VpDartsHard", {.measures = true}),
          law_case<recipes::VpDartsGradual<Searched>>("VpDartsGradual", {.narrows = true, .to_genotype = true}),
          law_case<recipes::VpDartsAlphaValue<Searched>>("VpDartsAlphaValue"),
          law_case<Method<Searched, BilevelDataPruning, Unnormalised, SoftPruneLinear, ValidationAccuracy>>("BdpVp")};
}

}  // namespace flowdarts::testing
