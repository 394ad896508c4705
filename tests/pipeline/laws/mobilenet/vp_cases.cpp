#include "cases.hpp"

namespace flowdarts::testing {

std::vector<LawCase> vp_cases() {
  return {slow_case<recipes::VpDartsFixed<Searched>>("VpDartsFixed"),
          slow_case<recipes::VpDartsLinear<Searched>>("VpDartsLinear"),
          slow_case<recipes::VpDartsHard<Searched>>("VpDartsHard", {.measures = true}),
          law_case<recipes::VpDartsGradual<Searched>>("VpDartsGradual", {.narrows = true, .left_of_row = 1}),
          slow_case<recipes::VpDartsAlphaValue<Searched>>("VpDartsAlphaValue")};
}

}  // namespace flowdarts::testing
