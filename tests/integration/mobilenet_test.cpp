// A whole search on the MobileNet-like space: 21 matrices of alpha, ragged.

#include <flowdarts/spaces/mobilenet/genotype.hpp>

#include "../stages/load/test_images.hpp"
#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

const std::string bdp_darts_mobilenet = "flowdarts-bdp-darts-mobilenet";

class MobilenetSearch : public Searches {
 protected:
  [[nodiscard]] Arguments tiny(const std::string& run) const {
    return {"--dataset",      "cifar10",
            "--data",         data_.string(),
            "--out",          (folder_ / run).string(),
            "--widths",       "2,2,2,2,2,2,2,2,2",
            "--stem-stride",  "1",
            "--threads",      "1",
            "--batch-size",   "10",
            "--epochs",       "2",
            "--prune-window", "1"};
  }
};

TEST_F(MobilenetSearch, EndsInAGenotypeAndTheSameOneAfterAKill) {
  finish(bdp_darts_mobilenet, tiny("unbroken"));
  const fs::path unbroken = folder_ / "unbroken", broken = folder_ / "broken";
  const std::string json = read(unbroken / "genotype.json");
  const auto genotype = mobilenet::from_json(json);
  const auto rows = timeless_metrics(unbroken);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows.back().at("genotype"), to_string(genotype));
  const auto alpha = rows.back().at("alpha").get<std::vector<std::vector<double>>>();
  EXPECT_EQ(mobilenet::derive(alpha), genotype);  // softmax keeps the order of a row

  Process process(bdp_darts_mobilenet, tiny("broken"), folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return !checkpoints(broken).empty(); }));
  process.signal(SIGKILL);
  process.wait();
  finish(bdp_darts_mobilenet, {"--resume", "--out", broken.string()});
  expect_same_run(broken, unbroken);
}

TEST_F(MobilenetSearch, OnFusedOperatorsFollowsTheOracles) {
  finish(bdp_darts_mobilenet, tiny("fused"));
  finish(bdp_darts_mobilenet, tiny("oracle") + Arguments{"--mixed-op", "oracle"});
  const auto fused = timeless_metrics(folder_ / "fused"), oracle = timeless_metrics(folder_ / "oracle");
  const auto loss = [](const Json& row) { return row.at("train").at("loss").get<double>(); };
  EXPECT_NEAR(loss(fused.front()), loss(oracle.front()), 1e-2);
}

TEST_F(MobilenetSearch, RefusesImagesThatVanish) {
  expect_refused(bdp_darts_mobilenet, tiny("run") + Arguments{"--stem-stride", "2"},
                 {"--image-size: found 32, expected at least 33"});
  expect_refused(bdp_darts_mobilenet, tiny("run") + Arguments{"--widths", "2,2"}, {"--widths: ", "number 3 of 9"});
}

// 2 classes of 40 images: 4 of each train w, 1 of each alpha.
TEST_F(MobilenetSearch, PresetForImageNetTakesPartsOfAFolder) {
  const auto jpeg = flowdarts::testing::encode_jpeg(flowdarts::testing::pattern(60, 50, 3), 60, 50);
  for (const char* name : {"a", "b"}) {
    for (int i = 0; i < 40; ++i) {
      flowdarts::testing::write_file(folder_ / "images" / name / (std::to_string(i) + ".jpg"), jpeg);
    }
  }
  const Outcome dry =
      run(bdp_darts_mobilenet, {"--preset", "imagenet", "--data", (folder_ / "images").string(), "--dry-run"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_THAT(dry.out, ::testing::HasSubstr("80 images of 2 classes, T 8, V 2"));
  EXPECT_THAT(dry.out, ::testing::HasSubstr("30 epochs of 1 steps"));
}

}  // namespace
}  // namespace flowdarts::integration
