#include "cases.hpp"

namespace flowdarts::testing {

std::vector<LawCase> darts_cases() {
  return {slow_case<recipes::Darts<Searched>>("Darts"),
          slow_case<recipes::DartsSecondOrder<Searched>>("DartsSecondOrder"),
          law_case<recipes::BdpBetaDarts<Searched>>("BdpBetaDarts")};
}

std::vector<LawCase> law_cases() {
  std::vector<LawCase> all;
  for (const auto& cases : {darts_cases(), ostr_cases(), vp_cases(), is_cases()}) {
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

}  // namespace flowdarts::testing
