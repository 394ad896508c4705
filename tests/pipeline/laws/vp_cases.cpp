#include "laws.hpp"

namespace flowdarts::testing {

std::vector<LawCase> vp_cases() {
  return {{.name = "VpDartsFixed", .run = run_search<recipes::VpDartsFixed<LawSpace>>},
          {.name = "VpDartsLinear", .run = run_search<recipes::VpDartsLinear<LawSpace>>},
          {.name = "VpDartsHard", .run = run_search<recipes::VpDartsHard<LawSpace>>, .measures = true},
          {.name = "VpDartsGradual", .run = run_search<recipes::VpDartsGradual<LawSpace>>, .narrows = true},
          {.name = "VpDartsAlphaValue", .run = run_search<recipes::VpDartsAlphaValue<LawSpace>>},
          {.name = "BdpVp",
           .run = run_search<Method<LawSpace, BilevelDataPruning, Unnormalised, SoftPruneLinear, ValidationAccuracy>>}};
}

}  // namespace flowdarts::testing
