#include "cases.hpp"

namespace flowdarts::testing {

std::vector<LawCase> vp_cases() {
  return {law_case<recipes::VpDartsFixed<Searched>>("VpDartsFixed"),
          law_case<recipes::VpDartsHard<Searched>>("VpDartsHard", {.measures = true}),
          law_case<recipes::VpDartsGradual<Searched>>("VpDartsGradual", {.narrows = true, .left_of_row = 1}),
          law_case<recipes::VpDartsAlphaValue<Searched>>("VpDartsAlphaValue")};
}

}  // namespace flowdarts::testing
