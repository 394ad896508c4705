#pragma once

#include <gtest/gtest.h>

#include <hwy/targets.h>
#include <cstdint>
#include <vector>

namespace flowdarts::testing {

/// Runs f with the kernels of each instruction set that was compiled and that this CPU has.
template <class F>
void on_every_target(const F& f) {
  const std::vector<std::int64_t> targets = hwy::SupportedAndGeneratedTargets();
  ASSERT_GE(targets.size(), 1U);
  for (const std::int64_t target : targets) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    f();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace flowdarts::testing
