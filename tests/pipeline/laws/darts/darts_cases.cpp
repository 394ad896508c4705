#include "cases.hpp"

namespace flowdarts::testing {

std::vector<LawCase> darts_cases() {
  return {
      law_case<recipes::Darts<Searched>>("Darts"), law_case<recipes::DartsSecondOrder<Searched>>("DartsSecondOrder"),
      law_case<recipes::BdpBetaDarts<Searched>>("BdpBetaDarts"), law_case<recipes::BdpPcDarts<Searched>>("BdpPcDarts"),
      law_case<recipes::BdpPDarts<Searched>>("BdpPDarts", {.narrows = true, .left_of_row = 2})};
}

std::vector<LawCase> law_cases() {
  std::vector<LawCase> all;
  for (const auto& cases : {darts_cases(), ostr_cases(), vp_cases(), is_cases()}) {
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

}  // namespace flowdarts::testing
