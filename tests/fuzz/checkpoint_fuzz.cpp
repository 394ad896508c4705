// Any bytes are either a checkpoint or refused with InputError.

#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <span>
#include <vector>

namespace {

using flowdarts::ByteReader;
using flowdarts::Checkpoint;
using flowdarts::InputError;

std::uint32_t crc32_of(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

template <class T>
T number_at(const std::vector<std::byte>& bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

void put_checksum(std::vector<std::byte>& bytes, std::size_t offset, std::span<const std::byte> of) {
  const std::uint32_t checksum = crc32_of(of);
  std::memcpy(bytes.data() + offset, &checksum, sizeof(checksum));
}

// Puts the right checksums wherever the layout has room for them, so that mutations get past them.
std::vector<std::byte> with_right_checksums(std::vector<std::byte> bytes) {
  std::size_t at = 12;
  while (at + 4 <= bytes.size()) {
    const auto name_size = number_at<std::uint32_t>(bytes, at);
    at += 4;
    if (name_size == 0) {
      if (at + 4 <= bytes.size()) put_checksum(bytes, at, std::span(bytes).first(at));
      break;
    }
    if (name_size > bytes.size() - at || bytes.size() - at - name_size < 12) break;
    at += name_size;
    const auto size = number_at<std::uint64_t>(bytes, at);
    if (size > bytes.size() - at - 12) break;
    put_checksum(bytes, at + 8, std::span(bytes).subspan(at + 12, size));
    at += 12 + size;
  }
  return bytes;
}

// Reads of every kind, chosen by the payload itself.
void read_all(ByteReader reader) {
  while (reader.remaining() > 0) {
    switch (reader.get<std::uint8_t>() % 6) {
      case 0:
        (void)reader.get<std::int64_t>();
        break;
      case 1:
        (void)reader.get<bool>();
        break;
      case 2:
        (void)reader.get_string();
        break;
      case 3:
        (void)reader.get_vector<double>();
        break;
      case 4:
        (void)reader.get_vector<std::uint8_t>();
        break;
      case 5:
        (void)reader.get_bytes();
        break;
    }
  }
  reader.expect_end();
}

void parse(const std::vector<std::byte>& bytes) {
  try {
    const Checkpoint checkpoint = Checkpoint::parse(bytes, "fuzz");
    flowdarts::require_same_identity(checkpoint.identity(), checkpoint.identity(), "fuzz");
    read_all(checkpoint.section("state"));
  } catch (const InputError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  const std::vector<std::byte> bytes(input.begin(), input.end());
  parse(bytes);
  parse(with_right_checksums(bytes));
  return 0;
}
