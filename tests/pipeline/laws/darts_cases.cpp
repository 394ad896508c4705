#include "laws.hpp"

namespace flowdarts::testing {

std::vector<LawCase> darts_cases() {
  return {{.name = "Darts", .run = run_search<recipes::Darts<LawSpace>>},
          {.name = "DartsSecondOrder", .run = run_search<recipes::DartsSecondOrder<LawSpace>>},
          {.name = "BdpDarts", .run = run_search<recipes::BdpDarts<LawSpace>>},
          {.name = "BetaDarts", .run = run_search<recipes::BetaDarts<LawSpace>>},
          {.name = "BdpBetaDarts", .run = run_search<recipes::BdpBetaDarts<LawSpace>>},
          {.name = "PcDarts", .run = run_search<recipes::PcDarts<LawSpace>>},
          {.name = "BdpPDarts", .run = run_search<recipes::BdpPDarts<LawSpace>>, .drops = true}};
}

}  // namespace flowdarts::testing
