// Broken data: refused with file and reason, or counted and left out where that was asked for.

#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <sstream>

#include "../stages/load/test_images.hpp"
#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

class BrokenData : public Searches {
 protected:
  /// Two classes of 16 small JPEGs; some of the second are cut in half.
  fs::path write_jpegs(int broken) const {
    const fs::path images = folder_ / "images";
    for (int i = 0; i < 32; ++i) {
      const auto bytes = testing::encode_jpeg(testing::pattern(40, 36, 3, i), 40, 36);
      const bool cut = i >= 32 - broken;
      write(images / (i < 16 ? "a" : "b") / (std::to_string(100 + i) + ".jpg"),
            {reinterpret_cast<const char*>(bytes.data()), cut ? bytes.size() / 2 : bytes.size()});
    }
    return images;
  }
  [[nodiscard]] Arguments folder_search(const fs::path& images) const {
    return tiny("run") + Arguments{"--dataset", "folder",       "--data", images.string(), "--image-size",
                                   "32",        "--batch-size", "8",      "--epochs",      "2"};
  }
};

TEST_F(BrokenData, ATruncatedFileIsRefused) {
  const fs::path file = data_ / "data_batch_4.bin";
  fs::resize_file(file, fs::file_size(file) - 100);
  expect_refused(darts, tiny("run"), {file.string(), "bytes", "expected"});
  EXPECT_FALSE(fs::exists(folder_ / "run"));

  const Outcome outcome = run(darts, tiny("run") + Arguments{"--epochs", "1", "--skip-corrupt"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, ::testing::ContainsRegex("warn.*skipped: " + file.string() + ".*bytes"));
  const Json row = read_metrics(folder_ / "run/metrics.jsonl").back();
  EXPECT_EQ(row.at("skipped"), 1);
  EXPECT_EQ(row["train"]["samples"].get<int>() + row["val"]["samples"].get<int>(), 59);
}

TEST_F(BrokenData, ALabelOutOfRangeIsRefused) {
  const fs::path file = data_ / "data_batch_2.bin";
  std::string bytes = read(file);
  bytes[3073] = 10;
  write(file, bytes);
  expect_refused(darts, tiny("run"), {file.string(), "record 1", "label 10", "expected 0 to 9"});
}

TEST_F(BrokenData, AMissingFileIsRefused) {
  fs::remove(data_ / "data_batch_5.bin");
  expect_refused(darts, tiny("run"), {(data_ / "data_batch_5.bin").string()});
}

// The search goes on although their files are gone; without one of the others it does not.
TEST_F(BrokenData, FilesOfPrunedSamplesAreNeverReadAgain) {
  const fs::path images = write_jpegs(0), lists = folder_ / "lists";
  ASSERT_EQ(run("flowdarts", {"data", "split", "--dataset", "folder", "--data", images.string(), "--train", "0.5",
                              "--val", "0.5", "--seed", "1", "--out", lists.string()})
                .code,
            0);
  const Arguments options = folder_search(images) + Arguments{"--lists",
                                                              lists.string(),
                                                              "--epochs",
                                                              "4",
                                                              "--keep-checkpoints",
                                                              "9",
                                                              "--prune-window",
                                                              "2",
                                                              "--prune-ratio-train",
                                                              "0.3",
                                                              "--prune-ratio-val",
                                                              "0.3"};
  finish(bdp_darts, options);
  const auto all = checkpoints(folder_ / "run");
  ASSERT_EQ(all.size(), 4U);
  const Checkpoint pruned = read_checkpoint(all[1]);
  const auto go_back = [&] {  // to where the pruning had just been done
    const auto later = checkpoints(folder_ / "run");
    for (std::size_t i = 2; i < later.size(); ++i) fs::remove(later[i]);
  };
  // A sample's number is its place among the names of the lists, T's before V's.
  std::vector<fs::path> files;
  for (const char* list : {"train.txt", "val.txt"}) {
    std::istringstream names(read(lists / list));
    for (std::string name; std::getline(names, name);) files.push_back(images / name);
  }
  std::vector<bool> left(files.size());
  for (const char* split : {"samples train", "samples val"}) {
    for (const std::int64_t id : sample_list(pruned, split)) left[static_cast<std::size_t>(id)] = true;
  }
  const auto gone = std::ranges::count(left, false);
  ASSERT_EQ(gone, 8);  // 0.3 of 16, twice
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!left[i]) fs::remove(files[i]);
  }
  go_back();
  const Outcome outcome = run(bdp_darts, options + Arguments{"--resume"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;

  const auto kept = static_cast<std::size_t>(std::ranges::find(left, true) - left.begin());
  fs::remove(files[kept]);
  go_back();
  const Outcome refused = run(bdp_darts, options + Arguments{"--resume"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, ::testing::HasSubstr(files[kept].string()));
}

TEST_F(BrokenData, AFolderOfJpegsIsSearched) {
  finish(darts, folder_search(write_jpegs(0)));
  expect_valid_genotype(folder_ / "run");
  const Json row = read_metrics(folder_ / "run/metrics.jsonl").back();
  EXPECT_EQ(row.at("skipped"), 0);
  EXPECT_EQ(row["train"]["samples"], 16);
}

TEST_F(BrokenData, ATruncatedJpegEndsTheSearch) {
  const fs::path images = write_jpegs(1);
  expect_refused(darts, folder_search(images), {(images / "b/131.jpg").string()});
}

TEST_F(BrokenData, TruncatedJpegsAreSkippedAndCounted) {
  const fs::path images = write_jpegs(3);
  const Arguments options = folder_search(images) + Arguments{"--skip-corrupt"};
  const Outcome outcome = run(bdp_darts, options + Arguments{"--prune-window", "2"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* file : {"129.jpg", "130.jpg", "131.jpg"}) {
    EXPECT_THAT(outcome.err, ::testing::ContainsRegex("warn.*skipped: " + (images / "b" / file).string()));
  }
  EXPECT_EQ(read_metrics(folder_ / "run/metrics.jsonl").back().at("skipped"), 3);
  expect_valid_genotype(folder_ / "run");
}

TEST_F(BrokenData, ImagesThatTheSpaceCannotTakeAreRefused) {
  expect_refused(darts, folder_search(write_jpegs(0)) + Arguments{"--image-size", "30"},
                 {"--image-size", "found 30", "expected a multiple of 4"});
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(BrokenData, AnEmptyClassFolderIsRefused) {
  const fs::path images = write_jpegs(0);
  fs::create_directory(images / "c");
  expect_refused(darts, folder_search(images), {(images / "c").string()});
}

}  // namespace
}  // namespace flowdarts::integration
