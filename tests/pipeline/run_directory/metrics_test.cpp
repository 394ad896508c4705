#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "testing.hpp"

namespace flowdarts {
namespace {

using namespace testing;
using nlohmann::ordered_json;

ordered_json row(std::int64_t epoch) {
  return {{"epoch", epoch}, {"loss", 0.25 * static_cast<double>(epoch)}};
}

std::vector<std::int64_t> epochs(const std::filesystem::path& path) {
  std::vector<std::int64_t> found;
  for (const auto& r : read_metrics(path)) found.push_back(r["epoch"]);
  return found;
}

using Epochs = std::vector<std::int64_t>;

TEST(Metrics, AreOneObjectALineInOrder) {
  const TemporaryFolder folder;
  MetricsWriter writer(folder / "m.jsonl");
  writer.append({{"epoch", 1}, {"z", "two\nlines"}, {"a", {1, 2}}});
  writer.append(row(2));
  writer.sync();
  EXPECT_EQ(read_text_file(folder / "m.jsonl"),
            "{\"epoch\":1,\"z\":\"two\\nlines\",\"a\":[1,2]}\n{\"epoch\":2,\"loss\":0.5}\n");
  EXPECT_EQ(read_metrics(folder / "m.jsonl")[1], row(2));
}

TEST(Metrics, NonFiniteNumbersAreNullAndBadTextIsReplaced) {
  const TemporaryFolder folder;
  MetricsWriter writer(folder / "m.jsonl");
  writer.append({{"epoch", 1},
                 {"a", std::numeric_limits<double>::quiet_NaN()},
                 {"b", -std::numeric_limits<double>::infinity()},
                 {"c", "\xff"}});
  EXPECT_EQ(read_text_file(folder / "m.jsonl"), "{\"epoch\":1,\"a\":null,\"b\":null,\"c\":\"\xEF\xBF\xBD\"}\n");
}

TEST(Metrics, ARowHasAnIntegerEpoch) {
  const TemporaryFolder folder;
  MetricsWriter writer(folder / "m.jsonl");
  EXPECT_THROW(writer.append({{"loss", 1}}), std::invalid_argument);
  EXPECT_THROW(writer.append({{"epoch", 1.5}}), std::invalid_argument);
  EXPECT_THROW(writer.append(ordered_json::array({1})), std::invalid_argument);
  EXPECT_EQ(read_text_file(folder / "m.jsonl"), "");
}

TEST(Metrics, ATornLastLineIsLeftOutAndCutOff) {
  const std::string whole = row(1).dump() + "\n" + row(2).dump() + "\n";
  const std::string third = row(3).dump();
  for (std::size_t size = 0; size <= third.size(); ++size) {
    const TemporaryFolder folder;
    const auto path = folder / "m.jsonl";
    std::ofstream(path) << whole << third.substr(0, size);
    EXPECT_EQ(epochs(path), (Epochs{1, 2}));
    MetricsWriter(path).append(row(3));
    EXPECT_EQ(epochs(path), (Epochs{1, 2, 3}));
  }
}

TEST(Metrics, ResumeDropsRowsThatAreWrittenAgain) {
  const TemporaryFolder folder;
  const auto path = folder / "m.jsonl";
  {
    MetricsWriter writer(path);
    for (int epoch = 0; epoch < 6; ++epoch) writer.append(row(epoch));
  }
  std::ofstream(path, std::ios::app) << "{\"epoch\":6,\"lo";
  MetricsWriter::resume(path, 3).append(row(4));
  EXPECT_EQ(epochs(path), (Epochs{0, 1, 2, 3, 4}));
  MetricsWriter::resume(path, 9).append(row(5));
  EXPECT_EQ(epochs(path), (Epochs{0, 1, 2, 3, 4, 5}));
  MetricsWriter::resume(path, -1).append(row(0));
  EXPECT_EQ(epochs(path), (Epochs{0}));
  MetricsWriter::resume(folder / "new.jsonl", 3).append(row(4));
  EXPECT_EQ(epochs(folder / "new.jsonl"), (Epochs{4}));
}

TEST(Metrics, ADamagedLineIsNamed) {
  const TemporaryFolder folder;
  const auto path = folder / "m.jsonl";
  for (const char* bad : {"{\"epoch\":", "[]", "{\"loss\":1}", "", "{\"epoch\":\"1\"}"}) {
    const std::string text = row(1).dump() + "\n" + bad + "\n" + row(3).dump() + "\n";
    std::ofstream(path) << text;
    const auto message = message_of<InputError>([&] { read_metrics(path); });
    EXPECT_TRUE(message.starts_with(path.string() + ", line 2: ")) << message;
    EXPECT_THROW(MetricsWriter::resume(path, 1), InputError);
    EXPECT_EQ(read_text_file(path), text) << "refused, so unharmed";
  }
}

TEST(Metrics, AFullDiskLeavesWholeRows) {
  const TemporaryFolder folder;
  // Calls: open 1, row 2, half of a row 3, the rest of it fails.
  MetricsWriter writer(folder / "m.jsonl", faulty_calls(3, Fault::half_fail, ENOSPC, std::make_shared<int>(0)));
  writer.append(row(1));
  EXPECT_THROW(writer.append(row(2)), RunError);
  EXPECT_EQ(read_text_file(folder / "m.jsonl"), row(1).dump() + "\n");
}

TEST(Metrics, AProcessKilledWhileWritingLosesNoWrittenRow) {
  const TemporaryFolder folder;
  const auto path = folder / "m.jsonl";
  for (int round = 0; round < 10; ++round) {
    const Pipe written;
    Child child([&] {
      MetricsWriter writer(path);
      for (std::int64_t epoch = 0;; ++epoch) {
        writer.append(row(epoch));
        if (epoch == 20 && ::write(written.write_end(), "w", 1) != 1) return 1;
      }
    });
    ASSERT_EQ(read_available(written.read_end()), "w");
    child.kill(SIGKILL);
    child.wait();
    const auto found = epochs(path);
    ASSERT_GE(found.size(), 21U);
    for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], static_cast<std::int64_t>(i));
    std::filesystem::remove(path);
  }
}

}  // namespace
}  // namespace flowdarts
