#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/accumulate/el2n.hpp>
#include <flowdarts/stages/accumulate/error_history.hpp>
#include <limits>
#include <numbers>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace flowdarts {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Ids = std::vector<std::int64_t>;
using Errors = std::vector<float>;

/// A history of one sample with one observation an epoch, no observation where the value is empty.
ErrorHistory history_of(const std::vector<std::optional<float>>& values) {
  ErrorHistory history(Ids{7});
  for (const auto value : values) {
    if (value) history.observe(Ids{7}, Errors{*value});
    history.end_epoch();
  }
  return history;
}

double voe_of(const std::vector<std::optional<float>>& values) {
  return history_of(values).voe().variance[0];
}

template <class Error, class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(El2n, IsTheDistanceOfTheProbabilitiesFromTheLabel) {
  const Errors logits{std::log(0.7F), std::log(0.2F), std::log(0.1F)};
  EXPECT_NEAR(el2n(logits, 0), 0.37417, 5e-6);  // sqrt(0.09 + 0.04 + 0.01)
  EXPECT_NEAR(el2n(logits, 2), std::sqrt(0.49 + 0.04 + 0.81), 1e-6);
}

TEST(El2n, StaysInItsRangeWhereSoftmaxSaturates) {
  EXPECT_EQ(el2n(Errors{1000.0F, -1000.0F}, 0), 0.0F);
  EXPECT_EQ(el2n(Errors{1000.0F, -1000.0F}, 1), std::numbers::sqrt2_v<float>);
  EXPECT_EQ(el2n(Errors{3.0F}, 0), 0.0F);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    CounterRng rng(1, Stream::noise, 0, 0, i);
    Errors logits(10);
    for (float& logit : logits) logit = static_cast<float>(rng.uniform(-50, 50));
    const float error = el2n(logits, rng.below(10));
    EXPECT_GE(error, 0.0F);
    EXPECT_LE(error, std::numbers::sqrt2_v<float>);
  }
}

TEST(ErrorHistory, ConstantErrorsHaveNoVariance) {
  EXPECT_EQ(voe_of({0.1F, 0.1F, 0.1F, 0.1F, 0.1F}), 0.0);
  EXPECT_EQ(voe_of({0.0F, 0.0F}), 0.0);
}

TEST(ErrorHistory, ErrorsZeroAndOneHaveVarianceAQuarter) {
  EXPECT_EQ(voe_of({0.0F, 1.0F}), 0.25);
  EXPECT_EQ(voe_of({1.0F, 0.0F}), 0.25);
}

TEST(ErrorHistory, VarianceIsInvariantToAddingAConstant) {
  EXPECT_NEAR(voe_of({0.125F, 0.5F, 0.25F}), voe_of({0.625F, 1.0F, 0.75F}), 1e-15);
}

TEST(ErrorHistory, MissingEpochsAreLeftOut) {
  const VarianceOfError voe = history_of({0.0F, std::nullopt, 1.0F, std::nullopt, std::nullopt}).voe();
  EXPECT_EQ(voe.variance[0], 0.25);
  EXPECT_THAT(voe.epochs, ElementsAre(2));
  EXPECT_THAT(voe.eligible, ElementsAre(1));
}

TEST(ErrorHistory, FewerThanTwoEpochsAreNotEligible) {
  EXPECT_THAT(history_of({}).voe().eligible, ElementsAre(0));
  EXPECT_THAT(history_of({std::nullopt, std::nullopt}).voe().eligible, ElementsAre(0));
  const VarianceOfError once = history_of({std::nullopt, 0.5F}).voe();
  EXPECT_THAT(once.eligible, ElementsAre(0));
  EXPECT_THAT(once.epochs, ElementsAre(1));
  EXPECT_EQ(once.variance[0], 0.0);
}

TEST(ErrorHistory, SeveralVisitsInOneEpochCountAsTheirMean) {
  ErrorHistory history(Ids{3, 5});
  history.observe(Ids{5, 3, 5}, Errors{0.25F, 1.0F, 0.75F});
  history.observe(Ids{5}, Errors{0.5F});
  history.end_epoch();
  history.observe(Ids{5}, Errors{0.0F});
  history.end_epoch();
  const VarianceOfError voe = history.voe();
  EXPECT_THAT(voe.epochs, ElementsAre(1, 2));
  EXPECT_EQ(voe.variance[1], 0.0625);  // of {0.5, 0}
}

TEST(ErrorHistory, TheEpochThatHasNotEndedDoesNotCount) {
  ErrorHistory history = history_of({0.0F, 1.0F});
  history.observe(Ids{7}, Errors{0.3F});
  EXPECT_EQ(history.voe().variance[0], 0.25);
}

TEST(ErrorHistory, AgreesWithPlainRecomputation) {
  constexpr std::size_t samples = 500;
  Ids ids(samples);
  for (std::size_t i = 0; i < samples; ++i) ids[i] = static_cast<std::int64_t>(i * i + 3);
  ErrorHistory history(ids);
  std::vector<std::vector<double>> values(samples);
  CounterRng rng(11, Stream::noise);
  for (int epoch = 0; epoch < 9; ++epoch) {
    std::vector<std::vector<double>> visits(samples);
    for (int batch = 0; batch < 20; ++batch) {
      Ids batch_ids;
      Errors batch_errors;
      for (int i = 0; i < 40; ++i) {
        const std::size_t sample = rng.below(samples);
        const auto error = static_cast<float>(rng.uniform(0, std::numbers::sqrt2));
        batch_ids.push_back(ids[sample]);
        batch_errors.push_back(error);
        visits[sample].push_back(error);
      }
      history.observe(batch_ids, batch_errors);
    }
    history.end_epoch();
    for (std::size_t i = 0; i < samples; ++i) {
      if (visits[i].empty()) continue;
      values[i].push_back(std::accumulate(visits[i].begin(), visits[i].end(), 0.0) /
                          static_cast<double>(visits[i].size()));
    }
  }
  const VarianceOfError voe = history.voe();
  std::size_t missing = 0;
  for (std::size_t i = 0; i < samples; ++i) {
    const auto count = static_cast<double>(values[i].size());
    missing += values[i].size() < 9 ? 1 : 0;
    ASSERT_EQ(voe.epochs[i], values[i].size());
    ASSERT_EQ(voe.eligible[i], values[i].size() >= 2 ? 1 : 0);
    if (values[i].empty()) continue;
    const double mean = std::accumulate(values[i].begin(), values[i].end(), 0.0) / count;
    double squares = 0;
    for (const double value : values[i]) squares += (value - mean) * (value - mean);
    ASSERT_NEAR(voe.variance[i], squares / count, 1e-12);
  }
  EXPECT_GT(missing, 100U);
}

TEST(ErrorHistory, ClearStartsANewWindow) {
  ErrorHistory history = history_of({0.0F, 1.0F});
  history.observe(Ids{7}, Errors{0.3F});
  history.clear();
  EXPECT_EQ(history.state(), ErrorHistory(Ids{7}).state());
}

TEST(ErrorHistory, KeepLeavesTheSurvivorsHistoriesAsTheyAre) {
  ErrorHistory history(Ids{1, 4, 9});
  history.observe(Ids{1, 4, 9}, Errors{0.0F, 0.25F, 0.5F});
  history.end_epoch();
  history.observe(Ids{1, 4, 9}, Errors{1.0F, 0.25F, 1.0F});
  history.end_epoch();
  history.observe(Ids{9}, Errors{0.75F});
  const ErrorHistory before = history;
  history.keep(Ids{4, 9});
  EXPECT_THAT(history.ids(), ElementsAre(4, 9));
  EXPECT_THAT(history.voe().variance, ElementsAre(0.0, 0.0625));
  EXPECT_THAT(history.state().epoch_visits, ElementsAre(0, 1));
  EXPECT_THAT(message_of<RunError>([&] { history.observe(Ids{1}, Errors{0.5F}); }), HasSubstr("found sample 1"));
  EXPECT_THAT(message_of<RunError>([&] { history.keep(Ids{4, 1}); }), HasSubstr("found sample 1"));
  EXPECT_THAT(message_of<RunError>([&] { history.keep(Ids{9, 4}); }), HasSubstr("found 4 after 9"));
  EXPECT_THAT(before.ids(), ElementsAre(1, 4, 9));
}

TEST(ErrorHistory, NonFiniteErrorsAreRefusedAndNothingIsAdded) {
  ErrorHistory history(Ids{1, 2});
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message_of<RunError>([&] {
                history.observe(Ids{1, 2}, Errors{0.5F, std::nanf("")});
              }),
              testing::AllOf(HasSubstr("sample 2"), HasSubstr("nan")));
  EXPECT_THAT(message_of<RunError>([&] {
                history.observe(Ids{2, 1}, Errors{0.5F, -infinity});
              }),
              testing::AllOf(HasSubstr("sample 1"), HasSubstr("-inf")));
  EXPECT_EQ(history.state(), ErrorHistory(Ids{1, 2}).state());
}

TEST(ErrorHistory, RestoredStateContinuesAsIfUnbroken) {
  Ids ids(50);
  std::iota(ids.begin(), ids.end(), 100);
  ErrorHistory unbroken(ids);
  ErrorHistory restored(ids);
  CounterRng rng(5, Stream::noise);
  for (int step = 0; step < 60; ++step) {
    Ids batch;
    Errors errors;
    for (int i = 0; i < 16; ++i) {
      batch.push_back(100 + static_cast<std::int64_t>(rng.below(50)));
      errors.push_back(static_cast<float>(rng.uniform()));
    }
    unbroken.observe(batch, errors);
    restored.observe(batch, errors);
    if (step % 7 == 6) {
      unbroken.end_epoch();
      restored.end_epoch();
    }
    const ErrorHistory::State saved = restored.state();  // mid-epoch most of the time
    restored = ErrorHistory(saved);
  }
  EXPECT_EQ(restored.state(), unbroken.state());
  EXPECT_EQ(restored.voe().variance, unbroken.voe().variance);
}

TEST(ErrorHistory, DamagedStateIsRefused) {
  const ErrorHistory::State good = ErrorHistory(Ids{1, 2}).state();
  ErrorHistory::State short_m2 = good;
  short_m2.m2.pop_back();
  EXPECT_EQ(message_of<InputError>([&] { (void)ErrorHistory(short_m2); }),
            "saved error history: m2 has 1 entries, expected 2, one a sample");
  ErrorHistory::State unsorted = good;
  unsorted.ids = {2, 2};
  EXPECT_EQ(message_of<InputError>([&] { (void)ErrorHistory(unsorted); }),
            "sample ids of an error history: found 2 after 2, expected strictly ascending ids");
  EXPECT_THAT(message_of<InputError>([&] { (void)ErrorHistory(Ids{3, 1}); }), HasSubstr("found 1 after 3"));
}

}  // namespace
}  // namespace flowdarts
