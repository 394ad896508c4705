#include "laws.hpp"

namespace flowdarts::testing {

std::vector<LawCase> ostr_cases() {
  return {
      {.name = "OstrDarts", .run = run_search<recipes::OstrDarts<LawSpace>>},
      {.name = "OstrDartsStar", .run = run_search<recipes::OstrDartsStar<LawSpace>>},
      {.name = "NaivePruningDarts", .run = run_search<recipes::NaivePruningDarts<LawSpace>>},
      {.name = "OstrPcDarts", .run = run_search<recipes::OstrPcDarts<LawSpace>>},
      {.name = "BdpBetaOstr", .run = run_search<Method<LawSpace, BilevelDataPruning, BetaDecay, OperationStrength>>}};
}

}  // namespace flowdarts::testing
