// What a search leaves in its run directory.

#include <cmath>
#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/spaces/nas_bench_201/collapse.hpp>
#include <flowdarts/spaces/nas_bench_201/count.hpp>
#include <numeric>
#include <set>

#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

using Counts = std::vector<std::int64_t>;

/// Class-balance degree b: the mean of min / max over all pairs of classes; (0, 0) counts 1.
double balance_of(const Counts& counts) {
  double sum = 0;
  int pairs = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    for (std::size_t j = i + 1; j < counts.size(); ++j, ++pairs) {
      const auto [low, high] = std::minmax(counts[i], counts[j]);
      sum += high == 0 ? 1.0 : static_cast<double>(low) / static_cast<double>(high);
    }
  }
  return sum / pairs;
}

TEST_F(Searches, RecordEveryDocumentedFieldOfEveryEpoch) {
  finish(bdp_darts, tiny("run") + Arguments{"--epochs", "3", "--prune-window", "2", "--hessian-every", "2"});
  const std::vector<Json> rows = read_metrics(folder_ / "run/metrics.jsonl");
  ASSERT_EQ(rows.size(), 3U);
  const double lr[] = {0.025, 0.001 + 0.024 * 0.75, 0.001 + 0.024 * 0.25};
  for (std::size_t epoch = 0; epoch < rows.size(); ++epoch) {
    const Json& row = rows[epoch];
    SCOPED_TRACE(row.dump());
    std::vector<std::string> keys;
    for (const auto& [key, value] : row.items()) keys.push_back(key);
    EXPECT_THAT(keys,
                ::testing::UnorderedElementsAre("epoch", "lr", "train", "val", "genotype", "true_accuracy", "cost",
                                                "collapse", "alpha", "op_weights", "importance", "ops_left", "pruned",
                                                "hessian", "exchanged", "skipped", "images_per_second", "seconds"));
    EXPECT_EQ(row["epoch"], epoch + 1);
    EXPECT_DOUBLE_EQ(row["lr"].get<double>(), lr[epoch]);
    for (const char* split : {"train", "val"}) {
      EXPECT_GT(row[split].at("samples").get<int>(), 0);
      EXPECT_GT(row[split].at("loss").get<double>(), 0);
      EXPECT_GE(row[split].at("accuracy").get<double>(), 0);
      EXPECT_LE(row[split].at("accuracy").get<double>(), 1);
      EXPECT_GT(row[split].at("balance").get<double>(), 0);
      EXPECT_LE(row[split].at("balance").get<double>(), 1);
    }
    ASSERT_EQ(row["alpha"].size(), 1U);
    EXPECT_EQ(row["alpha"][0].size(), 30U);
    ASSERT_EQ(row["op_weights"][0].size(), 30U);
    for (std::size_t edge = 0; edge < 6; ++edge) {
      double sum = 0;
      for (std::size_t op = 0; op < 5; ++op) sum += row["op_weights"][0][edge * 5 + op].get<double>();
      EXPECT_NEAR(sum, 1, 1e-6);
    }
    for (const char* set : {"cifar10", "cifar100", "imagenet16_120"})
      EXPECT_GT(row["true_accuracy"].at(set).get<double>(), 0);
    EXPECT_EQ(row["collapse"],
              Json(nas_bench_201::collapse_verdict(nas_bench_201::parse_genotype(row["genotype"].get<std::string>()))));
    const auto counts = nas_bench_201::count_network(nas_bench_201::parse_genotype(row["genotype"].get<std::string>()),
                                                     {.image_size = 32});
    EXPECT_EQ(row["cost"], (Json{{"params", counts.params}, {"macs", counts.macs}}));
    EXPECT_TRUE(row["importance"].is_null()) << "DARTS measures nothing";
    EXPECT_TRUE(row["ops_left"].is_null()) << "DARTS takes nothing out";
    EXPECT_EQ(row["skipped"], 0);
    EXPECT_GT(row["images_per_second"].get<double>(), 0);
    for (const char* part : {"epoch", "arch_step", "weight_step", "device_waiting", "end_of_epoch", "reading",
                             "loading", "prune_train", "prune_val"}) {
      EXPECT_GE(row["seconds"].at(part).get<double>(), 0) << part;
    }
    EXPECT_GE(row["seconds"]["epoch"].get<double>(),
              row["seconds"]["arch_step"].get<double>() + row["seconds"]["weight_step"].get<double>());
    EXPECT_GT(row["seconds"]["end_of_epoch"].get<double>(), 0);
    EXPECT_EQ(row["pruned"].is_null(), epoch != 1);
    EXPECT_EQ(row["hessian"].is_null(), epoch != 1);
  }
}

// 73,306 parameters are those of a network without convolutions in its cells.
TEST_F(Searches, KeepToTheirBudget) {
  const auto search = [&](const std::string& out, const Arguments& budget) {
    finish(bdp_darts, tiny(out) + Arguments{"--epochs", "3", "--prune-window", "3"} + budget);
    return read_metrics(folder_ / out / "metrics.jsonl");
  };
  const std::vector<Json> free = search("free", {}), within = search("within", {"--max-params", "73306"});
  bool replaced = false;
  for (std::size_t epoch = 0; epoch < free.size(); ++epoch) {
    replaced |= free[epoch]["cost"]["params"].get<std::int64_t>() > 73306;
    EXPECT_EQ(within[epoch]["cost"]["params"], 73306);
    EXPECT_EQ(within[epoch]["alpha"], free[epoch]["alpha"]) << "a budget changes no search";
  }
  EXPECT_TRUE(replaced) << "the test needs cells with convolutions";
  EXPECT_THAT(read(folder_ / "within/log.txt"), ::testing::HasSubstr("over budget: the derived network has"));
  EXPECT_EQ(read(folder_ / "free/log.txt").find("over budget"), std::string::npos);
  expect_refused(bdp_darts, tiny("refused") + Arguments{"--max-params", "73305"},
                 {"--max-params: found 73305", "expected at least 73306"});
}

// Three epochs a window, everything the rows say of its events recomputed from the rows before them and the data set.
TEST_F(Searches, PruneAsBdpSays) {
  write_cifar10(data_, 120);
  const double ratio_train = 0.15, ratio_val = 0.3;
  const int epochs = 11, window = 2, events = epochs / window;
  finish(bdp_darts, tiny("run") + Arguments{"--epochs", "11", "--prune-window", "2", "--prune-ratio-val", "0.3",
                                            "--batch-size", "20", "--keep-checkpoints", "100"});
  const std::vector<Json> rows = read_metrics(folder_ / "run/metrics.jsonl");
  const std::vector<fs::path> files = checkpoints(folder_ / "run");
  ASSERT_EQ(rows.size(), 11U);
  ASSERT_EQ(files.size(), 11U);

  std::map<std::string, Counts> counts{{"train", Counts(10, 6)}, {"val", Counts(10, 6)}};
  std::map<std::string, std::set<std::int64_t>> left;
  for (std::int64_t id = 0; id < 120; ++id) left[id < 60 ? "train" : "val"].insert(id);
  for (std::size_t epoch = 0; epoch < rows.size(); ++epoch) {
    const Json& row = rows[epoch];
    SCOPED_TRACE("epoch " + std::to_string(epoch + 1));
    const bool event = (epoch + 1) % window == 0 && epoch + 1 != static_cast<std::size_t>(epochs);
    ASSERT_EQ(row["pruned"].is_object(), event);
    for (const std::string split : {"train", "val"}) {
      SCOPED_TRACE(split);
      const auto samples = row[split]["samples"].get<std::int64_t>();
      EXPECT_EQ(samples, static_cast<std::int64_t>(left[split].size()));
      EXPECT_NEAR(row[split]["balance"].get<double>(), balance_of(counts[split]), 1e-12);
      if (event) {
        const Json& pruned = row["pruned"][split];
        const double b = balance_of(counts[split]), divisor = events * (1 - b * b) + 1;
        EXPECT_NEAR(pruned.at("balance").get<double>(), b, 1e-12);
        EXPECT_NEAR(pruned.at("divisor").get<double>(), divisor, 1e-9);
        const auto target = static_cast<std::int64_t>((split == "train" ? ratio_train : ratio_val) * samples + 1e-9);
        const Counts by_class = pruned.at("removed_by_class");
        ASSERT_EQ(by_class.size(), 10U);
        std::int64_t capacity = 0;
        for (std::size_t c = 0; c < 10; ++c) {
          const auto cap = static_cast<std::int64_t>(static_cast<double>(counts[split][c]) / divisor + 1e-9);
          EXPECT_LE(by_class[c], cap) << "class " << c;
          capacity += cap;
          counts[split][c] -= by_class[c];
        }
        const std::int64_t removed = std::accumulate(by_class.begin(), by_class.end(), std::int64_t{0});
        EXPECT_EQ(pruned.at("removed"), removed);
        // Refilled: every sample has been seen in the window, so only the caps stand between it and the target.
        EXPECT_EQ(removed, std::min(target, capacity));
        EXPECT_EQ(pruned.at("kept"), samples - removed);
      }
      const std::vector<std::int64_t> ids = sample_list(read_checkpoint(files[epoch]), "samples " + split);
      const std::set<std::int64_t> now(ids.begin(), ids.end());
      EXPECT_EQ(now.size(), ids.size());
      EXPECT_TRUE(std::ranges::includes(left[split], now)) << "a sample that was removed, or the other set's, is back";
      Counts by_id(10, 0);
      for (const std::int64_t id : ids) ++by_id[static_cast<std::size_t>(id % 10)];
      EXPECT_EQ(by_id, counts[split]);
      left[split] = now;
    }
  }
  EXPECT_LT(left["train"].size(), 40U);
  EXPECT_LT(left["val"].size(), left["train"].size());
}

TEST_F(Searches, PruneExactlyTheRatioWithoutCaps) {
  finish(bdp_darts, tiny("run") + Arguments{"--epochs", "5", "--prune-window", "1", "--prune-ratio-train", "0.4",
                                            "--prune-ratio-val", "0.1", "--no-prune-balance"});
  std::vector<std::pair<int, int>> samples;
  for (const Json& row : read_metrics(folder_ / "run/metrics.jsonl")) {
    samples.emplace_back(row["train"]["samples"], row["val"]["samples"]);
  }
  // One epoch is no window: no sample has a variance of error, and nothing leaves.
  EXPECT_THAT(samples, ::testing::Each(std::pair(30, 30)));

  finish(bdp_darts, tiny("two") + Arguments{"--epochs", "7", "--prune-window", "2", "--prune-ratio-train", "0.4",
                                            "--prune-ratio-val", "0.1", "--no-prune-balance"});
  samples.clear();
  for (const Json& row : read_metrics(folder_ / "two/metrics.jsonl")) {
    samples.emplace_back(row["train"]["samples"], row["val"]["samples"]);
  }
  using P = std::pair<int, int>;
  EXPECT_THAT(samples,
              ::testing::ElementsAre(P(30, 30), P(30, 30), P(18, 27), P(18, 27), P(11, 25), P(11, 25), P(7, 23)));
}

TEST_F(Searches, LeaveAGenotypeThatQueryReads) {
  finish(darts, tiny("run") + Arguments{"--epochs", "2"});
  const std::string genotype = expect_valid_genotype(folder_ / "run");
  const Json row = read_metrics(folder_ / "run/metrics.jsonl").back();
  for (const std::string& asked :
       std::vector<std::string>{(folder_ / "run").string(), (folder_ / "run/genotype.json").string(), genotype}) {
    const Outcome query = run("flowdarts", {"query", "--json", asked});
    ASSERT_EQ(query.code, 0) << query.err;
    const Json answer = Json::parse(query.out);
    EXPECT_EQ(answer.at("genotype"), genotype);
    for (const char* set : {"cifar10", "cifar100", "imagenet16_120"})
      EXPECT_EQ(answer.at(set), row["true_accuracy"].at(set));
  }
  EXPECT_THAT(read(folder_ / "run/genotype.dot"), ::testing::StartsWith("digraph"));
}

TEST_F(Searches, LeaveTensorBoardEventsOfTheirOwnEpochs) {
  const Arguments options = tiny("run") + Arguments{"--epochs", "2"};
  finish(darts, options);
  std::vector<std::string> events;
  for (const auto& [name, bytes] : contents(folder_ / "run/events")) {
    EXPECT_THAT(name, ::testing::StartsWith("events.out.tfevents."));
    events.push_back(bytes);
  }
  ASSERT_EQ(events.size(), 1U);
  for (const char* tag :
       {"brain.Event:2", "loss/train", "loss/val", "accuracy/val", "samples/train", "true_accuracy/cifar10"}) {
    EXPECT_THAT(events.front(), ::testing::HasSubstr(tag));
  }
}

TEST_F(Searches, SayTheirResultAtTheEnd) {
  const Outcome outcome = run(darts, tiny("run") + Arguments{"--epochs", "2"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.complaints(), ::testing::IsEmpty());
  EXPECT_THAT(outcome.out, ::testing::HasSubstr(expect_valid_genotype(folder_ / "run")));
  EXPECT_THAT(outcome.out, ::testing::HasSubstr((folder_ / "run").string()));
  EXPECT_THAT(outcome.err, ::testing::HasSubstr("epoch 2/2"));
}

TEST_F(Searches, ReadDebiansFashionMnist) {
  if (!fs::exists("/usr/share/datasets/fashion-mnist")) GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  finish(darts, {"--limit-samples", "40", "--out", (folder_ / "run").string(), "--channels", "1", "--cells", "1",
                 "--threads", "1", "--batch-size", "10", "--epochs", "1"});
  expect_valid_genotype(folder_ / "run");
  EXPECT_EQ(read_metrics(folder_ / "run/metrics.jsonl").back()["train"]["samples"], 20);
}

}  // namespace
}  // namespace flowdarts::integration
