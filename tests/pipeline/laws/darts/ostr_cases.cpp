#include "cases.hpp"

namespace flowdarts::testing {

std::vector<LawCase> ostr_cases() {
  return {law_case<recipes::OstrDarts<Searched>>("OstrDarts"),
          law_case<recipes::OstrDartsStar<Searched>>("OstrDartsStar"),
          law_case<recipes::NaivePruningDarts<Searched>>("NaivePruningDarts"),
          law_case<recipes::OstrPcDarts<Searched>>("OstrPcDarts")};
}

}  // namespace flowdarts::testing
