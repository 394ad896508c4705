#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/accumulate/error_history.hpp>
#include <flowdarts/stages/prune/prune.hpp>
#include <numeric>
#include <string>
#include <vector>

namespace flowdarts {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Counts = std::vector<std::int64_t>;
using Labels = std::vector<std::int32_t>;
using Scores = std::vector<double>;
using Positions = std::vector<std::uint32_t>;

double balance(const Counts& counts) {
  return class_balance(counts);
}

/// counts[c] samples of class c, one class after the other.
Labels labels_of(const Counts& counts) {
  Labels labels;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    labels.insert(labels.end(), static_cast<std::size_t>(counts[c]), static_cast<std::int32_t>(c));
  }
  return labels;
}

/// Scores that rise with the position.
Scores rising(std::size_t size) {
  Scores scores(size);
  std::iota(scores.begin(), scores.end(), 0.0);
  return scores;
}

PruneEvent prune_counts(const Counts& counts, const PruneRule& options) {
  const Labels labels = labels_of(counts);
  return prune(labels, rising(labels.size()), {}, static_cast<std::int64_t>(counts.size()), options);
}

/// The definition, pair by pair.
double naive_balance(const Counts& counts) {
  double sum = 0, pairs = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    for (std::size_t j = i + 1; j < counts.size(); ++j) {
      const auto [small, large] = std::minmax(counts[i], counts[j]);
      sum += large == 0 ? 1.0 : static_cast<double>(small) / static_cast<double>(large);
      pairs += 1;
    }
  }
  return pairs == 0 ? 1.0 : sum / pairs;
}

struct NaiveEvent {
  Positions kept;
  Positions removed;
};

/// Step 3 of A2 in plain words: the most extreme candidate is looked for again and again; without refill the k extreme
/// samples are taken first and the excess of each class is given back from their end.
NaiveEvent naive_prune(const Labels& labels, const Scores& scores, const std::vector<std::uint8_t>& eligible,
                       std::size_t classes, const PruneRule& options) {
  Counts counts(classes);
  for (const std::int32_t label : labels) ++counts[static_cast<std::size_t>(label)];
  const double b = naive_balance(counts);
  const double divisor = static_cast<double>(options.events) * (1 - b * b) + 1;
  Counts caps(classes);
  for (std::size_t c = 0; c < classes; ++c) {
    caps[c] = options.balance ? static_cast<std::int64_t>(std::floor(static_cast<double>(counts[c]) / divisor + 1e-9))
                              : counts[c];
    if (options.keep_one) caps[c] = std::min(caps[c], std::max<std::int64_t>(counts[c] - 1, 0));
  }
  const auto k = static_cast<std::size_t>(std::floor(options.ratio * static_cast<double>(labels.size()) + 1e-9));

  enum class Fate { open, removed, passed };
  std::vector<Fate> fates(labels.size(), Fate::open);
  const auto more_extreme = [&](std::uint32_t a, std::uint32_t b_) {
    return options.criterion == Criterion::low ? scores[a] < scores[b_] : scores[a] > scores[b_];
  };
  NaiveEvent event;
  Counts taken(classes);
  while (event.removed.size() < k) {
    std::uint32_t best = static_cast<std::uint32_t>(labels.size());
    for (std::uint32_t i = 0; i < labels.size(); ++i) {
      if (eligible[i] == 0 || fates[i] != Fate::open) continue;
      if (best == labels.size() || more_extreme(i, best)) best = i;
    }
    if (best == labels.size()) break;
    const auto c = static_cast<std::size_t>(labels[best]);
    if (options.refill && taken[c] == caps[c]) {
      fates[best] = Fate::passed;
      continue;
    }
    fates[best] = Fate::removed;
    event.removed.push_back(best);
    ++taken[c];
  }
  for (std::size_t i = event.removed.size(); !options.refill && i-- > 0;) {
    const auto c = static_cast<std::size_t>(labels[event.removed[i]]);
    if (taken[c] <= caps[c]) continue;
    --taken[c];
    event.removed.erase(event.removed.begin() + static_cast<std::ptrdiff_t>(i));
  }
  for (std::uint32_t i = 0; i < labels.size(); ++i) {
    if (std::ranges::find(event.removed, i) == event.removed.end()) event.kept.push_back(i);
  }
  return event;
}

TEST(FractionOf, FloorsButForgivesTheRoundingOfTheProduct) {
  EXPECT_EQ(fraction_of(0.15, 20), 3U);
  EXPECT_EQ(fraction_of(0.29, 100), 29U);  // 28.999999999999996 in doubles
  EXPECT_EQ(fraction_of(0.15, 19), 2U);
  EXPECT_EQ(fraction_of(0.5, 25001), 12500U);
  EXPECT_EQ(fraction_of(0, 100), 0U);
  EXPECT_EQ(fraction_of(0.3, 0), 0U);
  for (std::size_t percent = 0; percent <= 100; ++percent) {
    for (std::size_t size = 0; size < 2000; ++size) {
      ASSERT_EQ(fraction_of(static_cast<double>(percent) / 100, size), percent * size / 100)
          << percent << "% of " << size;
    }
    ASSERT_EQ(fraction_of(static_cast<double>(percent) / 100, 1'281'167), percent * 1'281'167 / 100);
  }
}

TEST(ClassBalance, WorkedExamples) {
  EXPECT_DOUBLE_EQ(balance({100, 100, 50}), 2.0 / 3);
  EXPECT_NEAR(balance({2000, 2000, 2000, 2000, 2000, 500, 2000, 2000, 2000, 2000}), 0.85, 1e-12);
  EXPECT_EQ(balance(Counts(1000, 1280)), 1.0);
}

TEST(ClassBalance, EmptyAndSingleClasses) {
  EXPECT_EQ(balance({}), 1.0);
  EXPECT_EQ(balance({17}), 1.0);
  EXPECT_EQ(balance({0}), 1.0);
  EXPECT_EQ(balance({0, 0}), 1.0);
  EXPECT_EQ(balance({0, 5}), 0.0);
  EXPECT_DOUBLE_EQ(balance({5, 0, 0, 5}), 2.0 / 6);  // (5, 5) and (0, 0) of six pairs
}

TEST(ClassBalance, EqualsTheSumOverAllPairs) {
  CounterRng rng(3, Stream::noise);
  for (int round = 0; round < 300; ++round) {
    Counts counts(1 + rng.below(60));
    const std::uint64_t bound = 1 + rng.below(2000);
    for (std::int64_t& count : counts) count = static_cast<std::int64_t>(rng.below(4) == 0 ? 0 : rng.below(bound));
    ASSERT_NEAR(balance(counts), naive_balance(counts), 1e-12);
    ASSERT_LE(balance(counts), 1.0);
  }
}

TEST(Prune, WorkedExamplesOfTheCaps) {
  const PruneEvent three = prune_counts({100, 100, 50}, {.ratio = 0.15, .events = 10});
  EXPECT_NEAR(three.divisor, 6.556, 5e-4);
  EXPECT_THAT(three.class_caps, ElementsAre(15, 15, 7));
  EXPECT_EQ(three.target, 37U);

  Counts counts(10, 2000);
  counts[9] = 500;
  const PruneEvent ten = prune_counts(counts, {.ratio = 0.15, .events = 20});
  EXPECT_NEAR(ten.balance, 0.85, 1e-12);
  EXPECT_NEAR(ten.divisor, 6.55, 1e-9);
  EXPECT_THAT(std::span(ten.class_caps).first(9), Each(305));
  EXPECT_EQ(ten.class_caps[9], 76);

  const PruneEvent equal = prune_counts(Counts(10, 2500), {.ratio = 0.15, .events = 20});
  EXPECT_EQ(equal.balance, 1.0);
  EXPECT_EQ(equal.divisor, 1.0);
  EXPECT_EQ(equal.class_caps, equal.class_counts);
}

TEST(Prune, RemovesTheChosenEndAndPassesOverFullClasses) {
  // Class 0 at both ends of the ranking. b = 0.5 and n = 2: N = 2.5, caps 4 / 2.5 = 1 and 8 / 2.5 = 3.
  const Labels labels{0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0};
  PruneRule options{.ratio = 0.25, .events = 2};
  const PruneEvent low = prune(labels, rising(12), {}, 2, options);
  EXPECT_THAT(low.class_caps, ElementsAre(1, 3));
  EXPECT_THAT(low.removed, ElementsAre(0, 2, 3));
  EXPECT_THAT(low.kept, ElementsAre(1, 4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(low.class_removed, ElementsAre(1, 2));
  options.criterion = Criterion::high;
  EXPECT_THAT(prune(labels, rising(12), {}, 2, options).removed, ElementsAre(11, 9, 8));
  options.refill = false;
  EXPECT_THAT(prune(labels, rising(12), {}, 2, options).removed, ElementsAre(11, 9));
  options.balance = false;
  EXPECT_THAT(prune(labels, rising(12), {}, 2, options).removed, ElementsAre(11, 10, 9));
}

TEST(Prune, TiesGoToTheLowerPosition) {
  const Labels labels(10, 0);
  for (const auto criterion : {Criterion::low, Criterion::high}) {
    const PruneEvent event = prune(labels, Scores(10, 0.0), {}, 1, {.ratio = 0.3, .criterion = criterion});
    EXPECT_THAT(event.removed, ElementsAre(0, 1, 2));
  }
}

TEST(Prune, SamplesNotEligibleStayButCount) {
  const Labels labels(10, 0);
  const std::vector<std::uint8_t> eligible{0, 1, 0, 1, 1, 1, 1, 1, 1, 1};
  const PruneEvent event = prune(labels, rising(10), eligible, 1, {.ratio = 0.3});
  EXPECT_EQ(event.target, 3U);
  EXPECT_THAT(event.class_counts, ElementsAre(10));
  EXPECT_THAT(event.removed, ElementsAre(1, 3, 4));
  EXPECT_THAT(prune(labels, rising(10), std::vector<std::uint8_t>(10, 0), 1, {.ratio = 0.3}).removed, IsEmpty());
}

TEST(Prune, SizesCompoundWhereCapsAreOff) {
  Labels labels(25'000);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 10);
  for (int event = 0; event < 19; ++event) {
    Scores scores(labels.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      scores[i] = CounterRng(1, Stream::noise, 0, static_cast<std::uint32_t>(event), i).uniform();
    }
    const PruneEvent pruned = prune(labels, scores, {}, 10, {.ratio = 0.15, .events = 20, .balance = false});
    ASSERT_EQ(pruned.target, labels.size() * 15 / 100);
    ASSERT_EQ(pruned.removed.size(), pruned.target);  // exactly k leave
    Labels kept;
    for (const std::uint32_t position : pruned.kept) kept.push_back(labels[position]);
    labels = kept;
  }
  EXPECT_NEAR(static_cast<double>(labels.size()) / 25'000, 0.046, 0.0005);
}

TEST(Prune, RemovedSamplesNeverReturn) {
  // Windows of three epochs over a split of sparse ids, T and V alike: accumulate, prune, keep, start anew.
  for (const auto criterion : {Criterion::low, Criterion::high}) {
    std::vector<std::int64_t> ids(500);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(3 * i + 1);
    ErrorHistory history(ids);
    for (std::uint32_t epoch = 1; epoch <= 15; ++epoch) {
      std::vector<float> errors;
      for (const std::int64_t id : ids) {
        const auto sample = static_cast<std::uint64_t>(id);
        errors.push_back(static_cast<float>(CounterRng(1, Stream::noise, 0, epoch, sample).uniform()));
      }
      history.observe(ids, errors);
      history.end_epoch();
      if (epoch % 3 != 0) continue;
      Labels labels;
      for (const std::int64_t id : ids) labels.push_back(static_cast<std::int32_t>(id % 7));
      const VarianceOfError voe = history.voe();
      const PruneEvent event =
          prune(labels, voe.variance, voe.eligible, 7, {.ratio = 0.2, .events = 5, .criterion = criterion});
      ASSERT_GT(event.removed.size(), 0U);
      std::vector<std::int64_t> kept;
      for (const std::uint32_t position : event.kept) kept.push_back(ids[position]);
      const std::int64_t gone = ids[event.removed[0]];
      ASSERT_TRUE(std::ranges::includes(ids, kept));
      history.keep(kept);
      history.clear();
      ids = kept;
      ASSERT_THROW(history.observe(std::vector{gone}, std::vector{0.5F}), RunError);
    }
    EXPECT_EQ(history.state(), ErrorHistory(ids).state());
  }
}

TEST(Prune, AWholeClassMayVanishUnlessOneIsKept) {
  // Equal counts: N = 1, the caps are the classes, and the lowest 10 % are exactly class 0.
  PruneRule options{.ratio = 0.1, .events = 20};
  const PruneEvent event = prune_counts(Counts(10, 50), options);
  EXPECT_EQ(event.class_removed[0], 50);
  EXPECT_EQ(event.floored_classes, 0U);
  options.keep_one = true;
  const PruneEvent floored = prune_counts(Counts(10, 50), options);
  EXPECT_EQ(floored.class_removed[0], 49);
  EXPECT_EQ(floored.class_removed[1], 1);
  EXPECT_EQ(floored.removed.size(), 50U);
  EXPECT_EQ(floored.floored_classes, 10U);
}

TEST(Prune, RefillReachesTheTargetUnlessTheCapsAreSmaller) {
  // b = 0.1, n = 20: N = 20.8, caps 4 and 48, below k = 165.
  const PruneEvent event = prune_counts({100, 1000}, {.ratio = 0.15, .events = 20});
  EXPECT_EQ(event.target, 165U);
  EXPECT_THAT(event.class_caps, ElementsAre(4, 48));
  EXPECT_EQ(event.class_removed, event.class_caps);
}

TEST(Prune, EmptySetAndEmptyClasses) {
  const PruneEvent none = prune(Labels{}, Scores{}, {}, 3, {.ratio = 0.5});
  EXPECT_THAT(none.kept, IsEmpty());
  EXPECT_EQ(none.balance, 1.0);
  // Two of three classes empty: pairs (0, 0), (0, 4), (0, 4), so b = 1/3 and N = 1 + 8/9.
  const PruneEvent single = prune(Labels(4, 1), rising(4), {}, 3, {.ratio = 0.75});
  EXPECT_NEAR(single.balance, 1.0 / 3, 1e-15);
  EXPECT_THAT(single.class_caps, ElementsAre(0, 2, 0));
  EXPECT_THAT(single.removed, ElementsAre(0, 1));
}

TEST(Prune, RefusesWhatIsOutOfRange) {
  const auto message_of = [](const Labels& labels, std::int64_t classes, const PruneRule& options) -> std::string {
    try {
      (void)prune(labels, Scores(labels.size()), {}, classes, options);
    } catch (const InputError& error) {
      return error.what();
    }
    return "nothing thrown";
  };
  EXPECT_THAT(message_of({0, 2}, 2, {}), HasSubstr("position 1: found 2, expected 0 to 1"));
  EXPECT_THAT(message_of({0, -1}, 2, {}), HasSubstr("position 1: found -1, expected 0 to 1"));
  EXPECT_THAT(message_of({0}, 0, {}), HasSubstr("found 0, expected at least 1"));
  EXPECT_THAT(message_of({0}, 1, {.ratio = 1}), HasSubstr("found 1.000000, expected a number in [0, 1)"));
  EXPECT_THAT(message_of({0}, 1, {.ratio = std::nan("")}), HasSubstr("found nan"));
  EXPECT_THAT(message_of({0}, 1, {.events = 0}), HasSubstr("found 0, expected at least 1"));
}

TEST(Prune, EqualsTheNaiveReferenceOnRandomSets) {
  for (std::uint64_t round = 0; round < 3000; ++round) {
    CounterRng rng(17, Stream::noise, 0, 0, round);
    const std::size_t size = rng.below(120);
    const std::size_t classes = 1 + rng.below(8);
    const std::uint64_t used_classes = 1 + rng.below(classes);  // the others stay empty
    const std::uint64_t distinct = rng.below(2) == 0 ? 4 : 1'000'000;
    Labels labels(size);
    Scores scores(size);
    std::vector<std::uint8_t> eligible(size);
    for (std::size_t i = 0; i < size; ++i) {
      labels[i] = static_cast<std::int32_t>(rng.below(1 + rng.below(used_classes)));  // classes of unequal size
      scores[i] = static_cast<double>(rng.below(distinct)) / 3;
      eligible[i] = rng.below(8) > 0 ? 1 : 0;
    }
    const PruneRule options{.ratio = static_cast<double>(rng.below(100)) / 100,
                            .events = 1 + static_cast<std::int64_t>(rng.below(25)),
                            .criterion = rng.below(2) == 0 ? Criterion::low : Criterion::high,
                            .balance = rng.below(4) > 0,
                            .refill = rng.below(2) == 0,
                            .keep_one = rng.below(3) == 0};
    const NaiveEvent expected = naive_prune(labels, scores, eligible, classes, options);
    for (const auto backend : {SortBackend::serial, SortBackend::thrust, SortBackend::cuda}) {
      if (!is_available(backend)) continue;
      const PruneEvent event =
          prune(labels, scores, eligible, static_cast<std::int64_t>(classes), options, {.backend = backend});
      ASSERT_EQ(event.removed, expected.removed) << "round " << round;
      ASSERT_EQ(event.kept, expected.kept) << "round " << round;
      Counts removed(classes);
      for (const std::uint32_t position : event.removed) ++removed[static_cast<std::size_t>(labels[position])];
      ASSERT_EQ(event.class_removed, removed);
      for (std::size_t c = 0; c < classes; ++c) {
        ASSERT_LE(event.class_removed[c], event.class_caps[c]);
        if (options.keep_one && event.class_counts[c] > 0) {
          ASSERT_LT(event.class_removed[c], event.class_counts[c]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace flowdarts
