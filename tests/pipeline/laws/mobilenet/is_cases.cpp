#include "cases.hpp"

namespace flowdarts::testing {

std::vector<LawCase> is_cases() {
  return {law_case<recipes::IsDarts<Searched>>("IsDarts", {.narrows = true, .to_genotype = true, .measures = true}),
          slow_case<recipes::IDarts<Searched>>("IDarts", {.measures = true}),
          slow_case<recipes::SDarts<Searched>>("SDarts", {.narrows = true, .to_genotype = true})};
}

}  // namespace flowdarts::testing
