#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <filesystem>
#include <flowdarts/spaces/stand_alone/spec.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>

namespace flowdarts {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::string cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|";
const std::string layers =
    "k3e6,k3e3,skip,skip,k5e6,k3e6,skip,k5e3,k7e6,k5e3,k5e6,k5e3,k7e6,k5e3,skip,k5e6,k7e6,k7e6,k7e3,k7e6,k7e6";

class ArchitectureFiles : public ::testing::Test {
 protected:
  ArchitectureFiles() { std::filesystem::create_directories(folder_); }
  ~ArchitectureFiles() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("architecture_test_" + std::to_string(::getpid()));
};

TEST_F(ArchitectureFiles, AreReadAsTextJsonAndRunDirectoryOfTheirSpace) {
  const std::string darts_cells = to_string(darts::Genotype{});
  for (const auto& [text, space] : {std::pair{cell, "nas-bench-201"}, {darts_cells, "darts"}, {layers, "mobilenet"}}) {
    const Architecture architecture = read_architecture(text);
    EXPECT_EQ(space_of(architecture), space);
    EXPECT_EQ(to_string(architecture), text);
    EXPECT_EQ(read_architecture(text, space), architecture);
    const std::string file = write("genotype.json", to_json(architecture));
    EXPECT_EQ(read_architecture(file), architecture);
    EXPECT_EQ(read_architecture(folder_.string()), architecture);
  }
}

TEST_F(ArchitectureFiles, OfAnotherSpaceOrOfNoneAreRefused) {
  EXPECT_THAT([] { read_architecture("resnet"); },
              ThrowsMessage<InputError>(HasSubstr("\"resnet\": found no such file and no architecture string")));
  EXPECT_THAT([] { read_architecture(cell, "imagenet"); },
              ThrowsMessage<InputError>("--space: found \"imagenet\", expected \"nas-bench-201\", \"darts\" or "
                                        "\"mobilenet\""));
  const std::string file = write("genotype.json", to_json(read_architecture(cell)));
  EXPECT_THAT([&] { read_architecture(file, "darts"); },
              ThrowsMessage<InputError>(HasSubstr(file + ": genotype JSON")));
}

TEST(StandAloneSpec, RoundTripsThroughJson) {
  StandAlone network{read_architecture(cell), paper_spec("nas-bench-201")};
  network.spec.cells = 3;
  network.spec.classes = 7;
  EXPECT_EQ(stand_alone_from_json(to_json(network)).spec, network.spec);
  EXPECT_EQ(stand_alone_from_json(to_json(network)).architecture, network.architecture);

  network = {darts::Genotype{}, paper_spec("darts", darts::Stem::imagenet)};
  network.spec.auxiliary = false;
  network.spec.auxiliary_norm = true;
  EXPECT_EQ(stand_alone_from_json(to_json(network)).spec, network.spec);
  EXPECT_EQ(stand_alone_from_json(to_json(network)).architecture, network.architecture);

  network = {read_architecture(layers), paper_spec("mobilenet")};
  network.spec.widths.head = 640;
  network.spec.stem_stride = 1;
  EXPECT_EQ(stand_alone_from_json(to_json(network)).spec, network.spec);
  EXPECT_EQ(stand_alone_from_json(to_json(network)).architecture, network.architecture);
}

TEST(StandAloneSpec, RefusesJsonOfAnotherShape) {
  EXPECT_THAT([] { stand_alone_from_json("{}"); },
              ThrowsMessage<InputError>("network JSON: found no member \"space\""));
  std::string text = to_json(StandAlone{darts::Genotype{}, paper_spec("darts")});
  text.replace(text.find("\"cifar\""), 7, "\"mnist\"");
  EXPECT_THAT([&] { stand_alone_from_json(text); },
              ThrowsMessage<InputError>("network JSON: \"stem\": found \"mnist\", expected \"cifar\" or \"imagenet\""));
  text = to_json(StandAlone{read_architecture(cell), paper_spec("nas-bench-201")});
  text.replace(text.find("\"cells\": 5"), 10, "\"cells\": []");
  EXPECT_THAT([&] { stand_alone_from_json(text); },
              ThrowsMessage<InputError>("network JSON: \"cells\": found \"[]\", expected another type"));
}

TEST(StandAloneSpec, CountsAsThePapersDo) {
  // The best CIFAR-10 cell of NAS-Bench-201 and DARTS' second-order cells, as published.
  const StandAlone best{
      read_architecture(
          "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"),
      paper_spec("nas-bench-201")};
  EXPECT_EQ(count_network(best).params, 1'073'466);
  StandAlone darts{darts::Genotype{}, paper_spec("darts")};
  const auto with = count_network(darts);
  EXPECT_GT(with.auxiliary_params, 0);
  darts.spec.auxiliary = false;
  EXPECT_EQ(count_network(darts).auxiliary_params, 0);
  EXPECT_EQ(count_network(darts).params, with.params);
}

}  // namespace
}  // namespace flowdarts
