#include "cases.hpp"

namespace flowdarts::testing {

std::vector<LawCase> ostr_cases() {
  return {law_case<recipes::OstrDarts<Searched>>("OstrDarts"),
          slow_case<recipes::OstrDartsStar<Searched>>("OstrDartsStar"),
          slow_case<recipes::NaivePruningDarts<Searched>>("NaivePruningDarts")};
}

}  // namespace flowdarts::testing
