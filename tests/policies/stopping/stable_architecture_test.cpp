#include <gtest/gtest.h>

#include <flowdarts/policies/stopping/stable_architecture.hpp>

namespace flowdarts {
namespace {

StableArchitecture policy_of(std::int64_t unchanged) {
  StableArchitecture::Options options;
  options.unchanged = unchanged;
  return StableArchitecture(options);
}

TEST(StableArchitecture, StopsOnceNothingHasChangedForSoManyEpochs) {
  StableArchitecture policy = policy_of(2);
  std::vector<bool> answers;
  for (const char* genotype : {"a", "a", "b", "b", "b", "b", "a"}) answers.push_back(policy.should_stop(1, genotype));
  EXPECT_EQ(answers, std::vector<bool>({false, false, false, false, true, true, false}));
}

TEST(StableArchitecture, TheFirstArchitectureIsNoRepetition) {
  StableArchitecture policy = policy_of(1);
  EXPECT_FALSE(policy.should_stop(1, "a"));
  EXPECT_TRUE(policy.should_stop(2, "a"));
}

}  // namespace
}  // namespace flowdarts
