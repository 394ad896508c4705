#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace flowdarts {
namespace {

namespace fs = std::filesystem;

constexpr std::array<unsigned char, 8> magic{0x8D, 'F', 'D', 'C', 'K', 0x0D, 0x0A, 0x1A};
constexpr std::uint32_t schema_version = 1;
constexpr std::size_t max_name_size = 255;
constexpr std::string_view identity_name = "identity";

std::uint32_t crc32_of(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

std::string hex(std::uint32_t value) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", value);
  return text.data();
}

void require_checksum(const ByteReader& reader, std::string_view what, std::span<const std::byte> bytes,
                      std::uint32_t expected) {
  const std::uint32_t found = crc32_of(bytes);
  if (found != expected)
    reader.fail(std::string(what) + " is damaged: its CRC-32 is " + hex(found) + ", expected " + hex(expected));
}

Identity read_identity(ByteReader reader) {
  Identity identity;
  for (auto count = reader.get<std::uint32_t>(); count > 0; --count) {
    std::string key = reader.get_string();
    identity.emplace_back(std::move(key), reader.get_string());
  }
  reader.expect_end();
  return identity;
}

const std::string* value_of(const Identity& identity, std::string_view key) {
  const auto entry = std::ranges::find(identity, key, &Identity::value_type::first);
  return entry == identity.end() ? nullptr : &entry->second;
}

std::string file_name(std::int64_t epoch, std::int64_t step) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "epoch-%06lld-step-%010lld.ckpt", static_cast<long long>(epoch),
                static_cast<long long>(step));
  return text.data();
}

std::optional<CheckpointStore::Entry> parse_file_name(const fs::path& path) {
  const std::string name = path.filename().string();
  std::string_view rest = name;
  CheckpointStore::Entry entry{0, 0, path};
  const auto skip = [&](std::string_view text) {
    const bool there = rest.starts_with(text);
    if (there) rest.remove_prefix(text.size());
    return there;
  };
  const auto number = [&](std::int64_t& value) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    return error == std::errc();
  };
  const bool matches = skip("epoch-") && number(entry.epoch) && skip("-step-") && number(entry.step) && rest == ".ckpt";
  // Only names that save() gives, so that two files never stand for one position.
  if (!matches || entry.epoch < 0 || entry.step < 0 || name != file_name(entry.epoch, entry.step)) return std::nullopt;
  return entry;
}

std::pair<std::int64_t, std::int64_t> position(const CheckpointStore::Entry& entry) {
  return {entry.epoch, entry.step};
}

}  // namespace

void ByteWriter::put_raw(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const std::size_t offset = bytes_.size();
  bytes_.resize(offset + bytes.size());
  std::memcpy(bytes_.data() + offset, bytes.data(), bytes.size());
}

void ByteReader::expect_end() const {
  if (remaining() != 0) fail("found " + std::to_string(remaining()) + " more bytes, expected the end");
}

void ByteReader::fail(const std::string& what) const {
  throw InputError(where_ + ", offset " + std::to_string(offset_) + ": " + what);
}

std::span<const std::byte> ByteReader::get_raw(std::size_t size) {
  if (size > remaining())
    fail("found " + std::to_string(remaining()) + " more bytes, expected at least " + std::to_string(size));
  const auto taken = bytes_.subspan(offset_, size);
  offset_ += size;
  return taken;
}

std::size_t ByteReader::get_count(std::size_t element_size) {
  const auto count = get<std::uint64_t>();
  if (count > remaining() / element_size)
    fail("found " + std::to_string(remaining()) + " more bytes, expected " + std::to_string(count) + " elements of " +
         std::to_string(element_size));
  return static_cast<std::size_t>(count);
}

void require_same_identity(const Identity& found, const Identity& expected, std::string_view where) {
  std::string first;
  int differences = 0;
  const auto compare = [&](const std::string& key) {
    const std::string* found_value = value_of(found, key);
    const std::string* expected_value = value_of(expected, key);
    if (found_value && expected_value && *found_value == *expected_value) return;
    const auto quoted = [](const std::string* value) { return value ? "'" + *value + "'" : std::string("not there"); };
    if (differences++ == 0) first = key + " is " + quoted(found_value) + ", expected " + quoted(expected_value);
  };
  for (const auto& [key, value] : expected) compare(key);
  for (const auto& [key, value] : found)
    if (!value_of(expected, key)) compare(key);
  if (differences == 0) return;
  const std::string more = differences == 1 ? "" : " (and " + std::to_string(differences - 1) + " more differences)";
  throw InputError(std::string(where) + ": is of another run: " + first + more);
}

Checkpoint Checkpoint::parse(std::vector<std::byte> bytes, std::string where) {
  Checkpoint checkpoint;
  checkpoint.bytes_ = std::move(bytes);
  checkpoint.where_ = std::move(where);
  ByteReader reader(checkpoint.bytes_, checkpoint.where_);
  if (const auto start = reader.get_raw(magic.size()); std::memcmp(start.data(), magic.data(), magic.size()) != 0)
    reader.fail("found other leading bytes than those of a flowdarts checkpoint");
  if (const auto version = reader.get<std::uint32_t>(); version != schema_version)
    reader.fail("found schema version " + std::to_string(version) + ", expected " + std::to_string(schema_version));
  while (const auto name_size = reader.get<std::uint32_t>()) {
    if (name_size > max_name_size)
      reader.fail("found a section name of " + std::to_string(name_size) + " bytes, expected at most " +
                  std::to_string(max_name_size));
    const auto name_bytes = reader.get_raw(name_size);
    std::string name(reinterpret_cast<const char*>(name_bytes.data()), name_bytes.size());
    if (checkpoint.find(name)) reader.fail("found section '" + name + "' twice");
    const auto size = reader.get<std::uint64_t>();
    const auto checksum = reader.get<std::uint32_t>();
    const std::size_t offset = reader.offset();
    const auto payload = reader.get_raw(size);
    require_checksum(reader, "section '" + name + "'", payload, checksum);
    checkpoint.sections_.push_back({std::move(name), offset, payload.size()});
  }
  const auto whole = std::span(checkpoint.bytes_).first(reader.offset());
  const auto checksum = reader.get<std::uint32_t>();
  require_checksum(reader, "the whole", whole, checksum);
  reader.expect_end();
  checkpoint.identity_ = read_identity(checkpoint.section(identity_name));
  return checkpoint;
}

const Checkpoint::Section* Checkpoint::find(std::string_view name) const {
  const auto section = std::ranges::find(sections_, name, &Section::name);
  return section == sections_.end() ? nullptr : &*section;
}

bool Checkpoint::has(std::string_view name) const {
  return find(name) != nullptr;
}

ByteReader Checkpoint::section(std::string_view name) const {
  const Section* found = find(name);
  if (!found) throw InputError(where_ + ": found no section '" + std::string(name) + "'");
  return {std::span(bytes_).subspan(found->offset, found->size), where_ + ": section '" + found->name + "'"};
}

CheckpointWriter::CheckpointWriter(const Identity& identity) {
  bytes_.put_raw(std::as_bytes(std::span(magic)));
  bytes_.put(schema_version);
  checkpoint_.identity_ = identity;
  checkpoint_.where_ = "new checkpoint";

  ByteWriter payload;
  payload.put(static_cast<std::uint32_t>(identity.size()));
  for (const auto& [key, value] : identity) {
    payload.put_string(key);
    payload.put_string(value);
  }
  add(identity_name, payload);
}

void CheckpointWriter::add(std::string_view name, std::span<const std::byte> payload) {
  if (name.empty() || name.size() > max_name_size || checkpoint_.has(name))
    throw std::invalid_argument("checkpoint section '" + std::string(name) + "': not a new name of 1 to 255 bytes");
  bytes_.put(static_cast<std::uint32_t>(name.size()));
  bytes_.put_raw(std::as_bytes(std::span(name)));
  bytes_.put(std::uint64_t{payload.size()});
  bytes_.put(crc32_of(payload));
  checkpoint_.sections_.push_back({std::string(name), bytes_.bytes().size(), payload.size()});
  bytes_.put_raw(payload);
}

Checkpoint CheckpointWriter::finish() && {
  bytes_.put(std::uint32_t{0});
  bytes_.put(crc32_of(bytes_.bytes()));
  checkpoint_.bytes_ = std::move(bytes_).take();
  return std::move(checkpoint_);
}

CheckpointStore::CheckpointStore(fs::path folder, std::size_t keep_newest, FileCalls calls)
    : folder_(std::move(folder)), keep_newest_(keep_newest), calls_(std::move(calls)) {
  if (keep_newest_ < 1) throw InputError("checkpoints to keep: found 0, expected at least 1");
  remove_temporary_files(folder_, calls_);
}

fs::path CheckpointStore::save(std::int64_t epoch, std::int64_t step, const Checkpoint& checkpoint) const {
  if (epoch < 0 || step < 0) throw std::invalid_argument("checkpoint of a negative epoch or step");
  fs::path path = folder_ / file_name(epoch, step);
  write_file_atomically(path, checkpoint.bytes(), calls_);

  const std::vector<Entry> entries = list();
  const auto saved = std::ranges::find(entries, std::pair(epoch, step), &position);
  const auto index = static_cast<std::size_t>(saved - entries.begin());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (i <= index && index - i < keep_newest_) continue;
    if (calls_.unlink(entries[i].path.c_str()) < 0 && errno != ENOENT)
      throw RunError("cannot remove " + entries[i].path.string() + ": " + std::generic_category().message(errno));
  }
  return path;
}

CheckpointStore::Loaded CheckpointStore::load_newest(const fs::path& folder) {
  std::vector<Entry> entries = list(folder);
  std::vector<Damaged> damaged;
  for (; !entries.empty(); entries.pop_back()) {
    Entry& newest = entries.back();
    try {
      Checkpoint checkpoint = Checkpoint::parse(read_file(newest.path), newest.path.string());
      return {std::move(checkpoint), std::move(newest), std::move(damaged)};
    } catch (const InputError& error) {
      damaged.push_back({std::move(newest.path), error.what()});
    }
  }
  if (damaged.empty()) throw InputError(folder.string() + ": found no checkpoint, expected epoch-*-step-*.ckpt");
  throw InputError(folder.string() + ": none of " + std::to_string(damaged.size()) +
                   " checkpoints is usable; the newest: " + damaged.front().reason);
}

std::vector<CheckpointStore::Entry> CheckpointStore::list(const fs::path& folder) {
  std::vector<Entry> entries;
  std::error_code error;
  fs::directory_iterator files(folder, error);
  for (; !error && files != fs::directory_iterator(); files.increment(error))
    if (auto entry = parse_file_name(files->path())) entries.push_back(std::move(*entry));
  if (error) throw InputError("cannot list " + folder.string() + ": " + error.message());
  std::ranges::sort(entries, {}, &position);
  return entries;
}

}  // namespace flowdarts
