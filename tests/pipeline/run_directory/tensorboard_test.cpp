#include <cstring>
#include <flowdarts/pipeline/run_directory/tensorboard.hpp>
#include <map>

#include "testing.hpp"

namespace flowdarts {
namespace {

using namespace testing;

// A reader that shares nothing with the writer: bitwise CRC, protobuf's wire format by hand.
std::uint32_t bitwise_crc32c(const std::string& data) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? (crc >> 1U) ^ 0x82F63B78U : crc >> 1U;
  }
  return crc ^ 0xFFFFFFFFU;
}

std::uint32_t masked(std::uint32_t crc) {
  return ((crc >> 15U) | (crc << 17U)) + 0xA282EAD8U;
}

template <class T>
T number_at(const std::string& data, std::size_t offset) {
  T value{};
  std::memcpy(&value, data.substr(offset, sizeof(T)).data(), sizeof(T));
  return value;
}

std::vector<std::string> read_records(const std::filesystem::path& path) {
  const std::string file = read_text_file(path);
  std::vector<std::string> records;
  for (std::size_t offset = 0; offset < file.size();) {
    const auto length = number_at<std::uint64_t>(file, offset);
    EXPECT_EQ(number_at<std::uint32_t>(file, offset + 8), masked(bitwise_crc32c(file.substr(offset, 8))));
    records.push_back(file.substr(offset + 12, length));
    EXPECT_EQ(number_at<std::uint32_t>(file, offset + 12 + length), masked(bitwise_crc32c(records.back())));
    offset += 12 + length + 4;
    EXPECT_LE(offset, file.size());
  }
  return records;
}

struct Field {
  std::uint64_t number = 0;  // varint
  std::string bytes;         // everything else, raw
};

// Field number to value; a repeated field keeps its last.
std::map<std::uint64_t, Field> fields_of(const std::string& message) {
  std::map<std::uint64_t, Field> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(message.at(at++));
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.size()) {
    const std::uint64_t key = varint();
    Field field;
    std::size_t size = 0;
    switch (key & 7U) {
      case 0:
        field.number = varint();
        break;
      case 1:
        size = 8;
        break;
      case 2:
        size = varint();
        break;
      case 5:
        size = 4;
        break;
      default:
        ADD_FAILURE() << "wire type " << (key & 7U);
    }
    field.bytes = message.substr(at, size);
    at += size;
    fields[key >> 3U] = field;
  }
  EXPECT_EQ(at, message.size());
  return fields;
}

TEST(Crc32c, KnownValues) {
  const std::string digits = "123456789";
  EXPECT_EQ(crc32c(std::as_bytes(std::span(digits))), 0xE3069283U);
  const std::string zeros(32, '\0');  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::as_bytes(std::span(zeros))), 0x8A9136AAU);
  EXPECT_EQ(crc32c({}), 0U);
}

TEST(EventWriter, AFileStartsWithItsVersionAndTheStartOfTheRun) {
  const TemporaryFolder folder;
  const EventWriter writer(folder.path());
  EXPECT_TRUE(writer.path().filename().string().starts_with("events.out.tfevents."));
  const auto records = read_records(writer.path());
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(fields_of(records[0])[3].bytes, "brain.Event:2");
  EXPECT_GT(number_at<double>(fields_of(records[0])[1].bytes, 0), 1.6e9);
  auto start = fields_of(records[1]);
  EXPECT_EQ(start[2].number, 0U);
  EXPECT_EQ(fields_of(start[7].bytes)[1].number, 1U);  // SessionLog START
}

TEST(EventWriter, WritesScalars) {
  const TemporaryFolder folder;
  EventWriter writer(folder.path());
  writer.add_scalar("loss/train", 300, 1.5F, 1234.25);
  const auto records = read_records(writer.path());
  ASSERT_EQ(records.size(), 3U);
  // Event{wall_time 1234.25, step 300, summary{value{tag "loss/train", simple_value 1.5}}}, byte by byte.
  const std::string value = std::string("\x0A\x0A") + "loss/train" + std::string("\x15\x00\x00\xC0\x3F", 5);
  const std::string summary = std::string("\x0A") + static_cast<char>(value.size()) + value;
  EXPECT_EQ(records[2], std::string("\x09\x00\x00\x00\x00\x00\x49\x93\x40", 9) + "\x10\xAC\x02" + "\x2A" +
                            static_cast<char>(summary.size()) + summary);
}

TEST(EventWriter, WritesText) {
  const TemporaryFolder folder;
  EventWriter writer(folder.path());
  const std::string text(500, 't');  // a length of two bytes
  writer.add_text("genotype", 7, text);
  auto event = fields_of(read_records(writer.path())[2]);
  EXPECT_EQ(event[2].number, 7U);
  auto value = fields_of(fields_of(event[5].bytes)[1].bytes);
  EXPECT_EQ(value[1].bytes, "genotype");
  auto tensor = fields_of(value[8].bytes);
  EXPECT_EQ(tensor[1].number, 7U);                                          // DT_STRING
  EXPECT_EQ(fields_of(fields_of(tensor[2].bytes)[2].bytes)[1].number, 1U);  // shape [1]
  EXPECT_EQ(tensor[8].bytes, text);
  auto metadata = fields_of(value[9].bytes);
  EXPECT_EQ(fields_of(metadata[1].bytes)[1].bytes, "text");
  EXPECT_EQ(metadata[4].number, 2U);  // DATA_CLASS_TENSOR
}

TEST(EventWriter, AResumedRunWritesANewFileThatSaysFromWhere) {
  const TemporaryFolder folder;
  EventWriter first(folder.path());
  first.add_scalar("loss", 1, 1);
  EventWriter second(folder.path(), 40);
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(read_records(first.path()).size(), 3U);
  const auto records = read_records(second.path());
  ASSERT_EQ(records.size(), 2U);
  auto event = fields_of(records[1]);
  EXPECT_EQ(event[2].number, 40U);
  EXPECT_EQ(fields_of(event[7].bytes)[1].number, 1U);  // SessionLog START
}

TEST(EventWriter, AFullDiskLeavesWholeRecords) {
  const TemporaryFolder folder;
  // Calls: open 1, version 2, start 3, half of the scalar 4, the rest of it fails.
  EventWriter writer(folder.path(), 0, faulty_calls(4, Fault::half_fail, ENOSPC, std::make_shared<int>(0)));
  EXPECT_THROW(writer.add_scalar("loss", 1, 1), RunError);
  EXPECT_EQ(read_records(writer.path()).size(), 2U);
}

}  // namespace
}  // namespace flowdarts
