// The bytes of safetensors files; tests beside this one have them read by others' software.

#include <gtest/gtest.h>

#include <cstring>
#include <flowdarts/spaces/export/safetensors.hpp>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace flowdarts {
namespace {

using nlohmann::json;

TEST(Safetensors, AsTheFormatSays) {
  const auto bytes = to_safetensors({{"b", {{2, 1}, {1.5F, -2.0F}}}, {"a", {{}, {3.0F}}}}, {"count"}, {{"space", "x"}});
  std::uint64_t size = 0;
  ASSERT_GE(bytes.size(), sizeof(size));
  std::memcpy(&size, bytes.data(), sizeof(size));
  EXPECT_EQ(size % 8, 0U);
  ASSERT_EQ(bytes.size(), 8 + size + 8 + 3 * sizeof(float));
  const json header = json::parse(std::string(reinterpret_cast<const char*>(bytes.data()) + 8, size));
  EXPECT_EQ(header, (json{{"__metadata__", {{"space", "x"}}},
                          {"count", {{"dtype", "I64"}, {"shape", json::array()}, {"data_offsets", {0, 8}}}},
                          {"a", {{"dtype", "F32"}, {"shape", json::array()}, {"data_offsets", {8, 12}}}},
                          {"b", {{"dtype", "F32"}, {"shape", {2, 1}}, {"data_offsets", {12, 20}}}}}));
  std::int64_t count = -1;
  std::memcpy(&count, bytes.data() + 8 + size, sizeof(count));
  EXPECT_EQ(count, 0);
  std::vector<float> values(3);
  std::memcpy(values.data(), bytes.data() + 8 + size + 8, 3 * sizeof(float));
  EXPECT_EQ(values, (std::vector<float>{3.0F, 1.5F, -2.0F}));
}

TEST(Safetensors, RefusesAShapeOfAnotherSizeAndANameTwice) {
  EXPECT_THROW(to_safetensors({{"a", {{2}, {1.0F}}}}), std::invalid_argument);
  EXPECT_THROW(to_safetensors({{"a", {{1}, {1.0F}}}}, {"a"}), std::invalid_argument);
}

}  // namespace
}  // namespace flowdarts
