#include <zlib.h>

#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <random>

#include "testing.hpp"

namespace flowdarts {
namespace {

using namespace testing;

const Identity identity{{"method", "bdp-darts"}, {"space", "nas-bench-201"}, {"data", "cifar10 50000 0x1234"}};

// Content that depends on its position, so that a test knows which one it got.
Checkpoint checkpoint_of(std::int64_t epoch, std::int64_t step, std::size_t size = 100) {
  CheckpointWriter writer(identity);
  ByteWriter state;
  state.put(epoch);
  state.put(step);
  state.put_vector(std::vector<float>(size, static_cast<float>(epoch) + 0.5F));
  writer.add("state", state);
  return std::move(writer).finish();
}

std::pair<std::int64_t, std::int64_t> position_in(const Checkpoint& checkpoint) {
  ByteReader state = checkpoint.section("state");
  const auto epoch = state.get<std::int64_t>();
  const auto step = state.get<std::int64_t>();
  for (const float value : state.get_vector<float>()) EXPECT_EQ(value, static_cast<float>(epoch) + 0.5F);
  state.expect_end();
  return {epoch, step};
}

std::vector<std::byte> copy_of(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

void write_bytes(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  write_file_atomically(path, bytes);
}

void damage(const std::filesystem::path& path) {
  auto bytes = read_file(path);
  bytes[bytes.size() / 2] ^= std::byte{0x10};
  write_bytes(path, bytes);
}

TEST(ByteReader, ReadsWhatByteWriterWrote) {
  enum class Colour : std::uint8_t { red = 1, green = 2 };
  ByteWriter writer;
  writer.put(std::int64_t{-5});
  writer.put(1.0 / 3);
  writer.put(0.1F);
  writer.put(true);
  writer.put(Colour::green);
  writer.put_string("text with \0 inside");
  writer.put_string("");
  writer.put_vector(std::vector<std::int32_t>{1, -2, 3});
  writer.put_vector(std::vector<double>{});
  const std::vector<std::byte> raw(7, std::byte{9});
  writer.put_bytes(raw);

  ByteReader reader(writer.bytes(), "test");
  EXPECT_EQ(reader.get<std::int64_t>(), -5);
  EXPECT_EQ(reader.get<double>(), 1.0 / 3);
  EXPECT_EQ(reader.get<float>(), 0.1F);
  EXPECT_TRUE(reader.get<bool>());
  EXPECT_EQ(reader.get<Colour>(), Colour::green);
  EXPECT_EQ(reader.get_string(), "text with \0 inside");
  EXPECT_EQ(reader.get_string(), "");
  EXPECT_EQ(reader.get_vector<std::int32_t>(), (std::vector<std::int32_t>{1, -2, 3}));
  EXPECT_TRUE(reader.get_vector<double>().empty());
  EXPECT_EQ(copy_of(reader.get_bytes()), raw);
  reader.expect_end();
}

TEST(ByteReader, WritesLittleEndian) {
  ByteWriter writer;
  writer.put(std::uint32_t{0x01020304});
  EXPECT_EQ(copy_of(writer.bytes()), (std::vector{std::byte{4}, std::byte{3}, std::byte{2}, std::byte{1}}));
}

TEST(ByteReader, RefusesLengthsBeyondTheEndBeforeAllocating) {
  for (const std::uint64_t count : {std::uint64_t{3}, std::uint64_t{1} << 40U, ~std::uint64_t{0},
                                    (std::uint64_t{1} << 61U) + 1}) {  // 8 times the last is 8 again
    ByteWriter writer;
    writer.put(count);
    writer.put(std::uint64_t{7});
    writer.put(std::uint64_t{8});
    EXPECT_THROW(ByteReader(writer.bytes(), "test").get_vector<double>(), InputError);
    if (count > 16) {
      EXPECT_THROW(ByteReader(writer.bytes(), "test").get_string(), InputError);
    }
  }
}

TEST(ByteReader, NamesPlaceFoundAndExpected) {
  ByteWriter writer;
  writer.put(std::uint16_t{1});
  writer.put(std::uint8_t{2});
  ByteReader reader(writer.bytes(), "file: section 'x'");
  reader.get<std::uint16_t>();
  EXPECT_EQ(message_of<InputError>([&] { reader.get<std::uint32_t>(); }),
            "file: section 'x', offset 2: found 1 more bytes, expected at least 4");
  EXPECT_THROW(reader.expect_end(), InputError);
  EXPECT_THROW(reader.get<bool>(), InputError);  // 2 is no truth value
}

TEST(Checkpoint, HoldsItsSectionsAndIdentity) {
  const Checkpoint written = checkpoint_of(3, 7);
  const Checkpoint read = Checkpoint::parse(copy_of(written.bytes()), "file");
  for (const Checkpoint* checkpoint : {&written, &read}) {
    EXPECT_EQ(checkpoint->identity(), identity);
    EXPECT_EQ(position_in(*checkpoint), std::pair(std::int64_t{3}, std::int64_t{7}));
    EXPECT_FALSE(checkpoint->has("other"));
  }
  EXPECT_EQ(message_of<InputError>([&] { read.section("other"); }), "file: found no section 'other'");
}

TEST(Checkpoint, IsLaidOutAsDocumented) {
  CheckpointWriter writer(Identity{});
  const std::array payload{std::byte{'a'}, std::byte{'b'}};
  writer.add("x", payload);
  const Checkpoint checkpoint = std::move(writer).finish();
  std::string expected(
      "\x8D"
      "FDCK\r\n\x1A"
      "\1\0\0\0",
      12);
  const auto add_u32 = [&](std::uint32_t value) {
    for (int i = 0; i < 4; ++i) expected += static_cast<char>(value >> (8 * i));
  };
  const auto crc = [](const std::string& text) {
    return static_cast<std::uint32_t>(
        ::crc32(0, reinterpret_cast<const unsigned char*>(text.data()), static_cast<unsigned>(text.size())));
  };
  expected += std::string("\x8\0\0\0identity\x4\0\0\0\0\0\0\0", 20);
  add_u32(crc(std::string(4, '\0')));
  expected += std::string(4, '\0');
  expected += std::string("\x1\0\0\0x\x2\0\0\0\0\0\0\0", 13);
  add_u32(crc("ab"));
  expected += "ab";
  add_u32(0);
  add_u32(crc(expected));
  const auto bytes = checkpoint.bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), expected);
}

TEST(Checkpoint, RefusesSectionNamesThatCannotBe) {
  CheckpointWriter writer(identity);
  writer.add("x", ByteWriter());
  EXPECT_THROW(writer.add("x", ByteWriter()), std::invalid_argument);
  EXPECT_THROW(writer.add("", ByteWriter()), std::invalid_argument);
  EXPECT_THROW(writer.add(std::string(256, 'x'), ByteWriter()), std::invalid_argument);
  EXPECT_THROW(writer.add("identity", ByteWriter()), std::invalid_argument);
}

TEST(Checkpoint, AnyFlippedBitIsFoundAndTheFileNamed) {
  const Checkpoint checkpoint = checkpoint_of(3, 7, 10);
  for (std::size_t i = 0; i < checkpoint.bytes().size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      auto bytes = copy_of(checkpoint.bytes());
      bytes[i] ^= std::byte(1U << bit);
      const auto message = message_of<InputError>([&] { Checkpoint::parse(bytes, "runs/a/x.ckpt"); });
      EXPECT_TRUE(message.starts_with("runs/a/x.ckpt")) << message;
    }
  }
}

TEST(Checkpoint, AnyTruncationOrAdditionIsFound) {
  const Checkpoint checkpoint = checkpoint_of(3, 7, 10);
  for (std::size_t size = 0; size < checkpoint.bytes().size(); ++size) {
    const auto message =
        message_of<InputError>([&] { Checkpoint::parse(copy_of(checkpoint.bytes().first(size)), "runs/a/x.ckpt"); });
    EXPECT_TRUE(message.starts_with("runs/a/x.ckpt")) << message;
  }
  auto longer = copy_of(checkpoint.bytes());
  longer.push_back(std::byte{0});
  EXPECT_THROW(Checkpoint::parse(longer, "file"), InputError);
}

TEST(Checkpoint, ADamagedSectionIsNamed) {
  const Checkpoint checkpoint = checkpoint_of(3, 7, 10);
  auto bytes = copy_of(checkpoint.bytes());
  bytes[bytes.size() - 20] ^= std::byte{1};
  const auto message = message_of<InputError>([&] { Checkpoint::parse(bytes, "file"); });
  EXPECT_NE(message.find("section 'state' is damaged"), std::string::npos) << message;
}

TEST(Identity, TheFirstDifferenceIsNamedWithBothValues) {
  EXPECT_NO_THROW(require_same_identity(identity, identity, "file"));
  Identity other = identity;
  other[1].second = "darts";
  EXPECT_EQ(message_of<InputError>([&] { require_same_identity(other, identity, "file"); }),
            "file: is of another run: space is 'darts', expected 'nas-bench-201'");
  other[0].second = "darts";
  other.emplace_back("seed", "3");
  EXPECT_EQ(message_of<InputError>([&] { require_same_identity(other, identity, "file"); }),
            "file: is of another run: method is 'darts', expected 'bdp-darts' (and 2 more differences)");
  EXPECT_EQ(message_of<InputError>([&] {
              require_same_identity({}, {{"seed", "3"}}, "file");
            }),
            "file: is of another run: seed is not there, expected '3'");
}

TEST(CheckpointStore, LoadsTheNewestAndKeepsTheNewestK) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 3);
  for (const auto& [epoch, step] : {std::pair{0, 0}, {0, 50}, {1, 0}, {9, 3}, {10, 0}})
    EXPECT_TRUE(std::filesystem::exists(store.save(epoch, step, checkpoint_of(epoch, step))));
  EXPECT_EQ(store.list().size(), 3U);
  EXPECT_EQ(store.list().front().epoch, 1);
  const auto loaded = store.load_newest();
  EXPECT_EQ(position_in(loaded.checkpoint), std::pair(std::int64_t{10}, std::int64_t{0}));
  EXPECT_EQ(loaded.entry.path.filename(), "epoch-000010-step-0000000000.ckpt");
  EXPECT_TRUE(loaded.damaged.empty());
}

TEST(CheckpointStore, OrdersNumbersWiderThanTheirPadding) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 2);
  store.save(999'999, 0, checkpoint_of(999'999, 0));
  store.save(1'000'000, 0, checkpoint_of(1'000'000, 0));
  EXPECT_EQ(position_in(store.load_newest().checkpoint).first, 1'000'000);
}

TEST(CheckpointStore, NamesDamagedOnesAndUsesTheOneBefore) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 4);
  for (int epoch = 0; epoch < 4; ++epoch) store.save(epoch, 0, checkpoint_of(epoch, 0));
  const auto entries = store.list();
  damage(entries[3].path);
  write_bytes(entries[2].path, {});
  const auto loaded = store.load_newest();
  EXPECT_EQ(loaded.entry.epoch, 1);
  ASSERT_EQ(loaded.damaged.size(), 2U);
  EXPECT_EQ(loaded.damaged[0].path, entries[3].path);
  EXPECT_EQ(loaded.damaged[1].path, entries[2].path);
  EXPECT_NE(loaded.damaged[0].reason.find("damaged"), std::string::npos) << loaded.damaged[0].reason;
}

TEST(CheckpointStore, ARunThatFellBackDoesNotLoseWhatItSavesNext) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 1);
  store.save(4, 0, checkpoint_of(4, 0));
  std::filesystem::copy_file(store.list()[0].path, folder / "kept");
  const auto newest = store.save(5, 90, checkpoint_of(5, 90));
  std::filesystem::copy_file(folder / "kept", folder / "epoch-000004-step-0000000000.ckpt");
  damage(newest);
  EXPECT_EQ(store.load_newest().entry.epoch, 4);
  store.save(5, 10, checkpoint_of(5, 10));  // stopped earlier in epoch 5 than the run that wrote the damaged one
  EXPECT_EQ(position_in(store.load_newest().checkpoint), std::pair(std::int64_t{5}, std::int64_t{10}));
  EXPECT_EQ(store.list().size(), 1U);
}

TEST(CheckpointStore, SaysWhenNoneIsUsable) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 2);
  EXPECT_EQ(message_of<InputError>([&] { store.load_newest(); }),
            folder.path().string() + ": found no checkpoint, expected epoch-*-step-*.ckpt");
  damage(store.save(0, 0, checkpoint_of(0, 0)));
  damage(store.save(1, 0, checkpoint_of(1, 0)));
  const auto message = message_of<InputError>([&] { store.load_newest(); });
  EXPECT_NE(message.find("none of 2 checkpoints is usable; the newest: "), std::string::npos) << message;
  EXPECT_NE(message.find("epoch-000001"), std::string::npos) << message;
  EXPECT_THROW(CheckpointStore(folder.path(), 0), InputError);
  EXPECT_THROW(CheckpointStore(folder / "none", 1), RunError);
}

TEST(CheckpointStore, LeavesOtherFilesAlone) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 1);
  for (const char* name : {"notes.txt", "epoch-1-step-2.ckpt", "epoch-000001-step-0000000002.ckpt.bak",
                           "epoch--00001-step-0000000002.ckpt"})
    write_file_atomically(folder / name, "mine");
  std::filesystem::create_directory(folder / "epoch-000099-step-0000000000.ckpt");
  const auto only = message_of<InputError>([&] { store.load_newest(); });
  EXPECT_NE(only.find("not a regular file"), std::string::npos) << only;
  std::filesystem::remove(folder / "epoch-000099-step-0000000000.ckpt");
  store.save(5, 0, checkpoint_of(5, 0));
  store.save(6, 0, checkpoint_of(6, 0));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 5);
}

TEST(CheckpointStore, RemovesTemporaryFilesOfAKilledRun) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "epoch-000001-step-0000000000.ckpt.77.0.tmp", "half");
  const CheckpointStore store(folder.path(), 1);
  EXPECT_EQ(count_temporary_files(folder.path()), 0);
}

// Promise: at every instant one complete checkpoint exists, whichever call fails, falls short or is the last.
TEST(CheckpointStore, AFaultAtAnyCallKeepsACompleteCheckpoint) {
  constexpr int saves = 4;
  for (const Fault fault :
       {Fault::fail, Fault::fail_on, Fault::half, Fault::half_fail, Fault::crash, Fault::half_crash}) {
    bool reached = true;
    int number = 0;
    while (reached) {
      ++number;
      const TemporaryFolder folder;
      CheckpointStore(folder.path(), 2).save(0, 0, checkpoint_of(0, 0));
      const auto run = [&] {
        const auto count = std::make_shared<int>(0);
        std::int64_t complete = 0;
        try {
          const CheckpointStore store(folder.path(), 2, faulty_calls(number, fault, ENOSPC, count));
          for (std::int64_t epoch = 1; epoch <= saves; ++epoch) {
            store.save(epoch, 0, checkpoint_of(epoch, 0));
            complete = epoch;
          }
        } catch (const RunError&) {
        }
        return std::pair(complete, *count >= number);
      };
      std::int64_t complete = 0;
      if (fault == Fault::crash || fault == Fault::half_crash) {
        Child child([&] { return run().second ? 1 : 2; });
        const int status = child.wait();
        reached = status != 2;
      } else {
        std::tie(complete, reached) = run();
      }
      const CheckpointStore after(folder.path(), 2);
      const auto loaded = after.load_newest();
      EXPECT_TRUE(loaded.damaged.empty()) << "call " << number;
      EXPECT_GE(loaded.entry.epoch, complete) << "call " << number;
      EXPECT_EQ(position_in(loaded.checkpoint).first, loaded.entry.epoch);
      EXPECT_EQ(count_temporary_files(folder.path()), 0);
    }
    EXPECT_GT(number, 8 * saves);
  }
}

TEST(CheckpointStore, AFileSizeLimitKeepsTheLastCompleteOne) {
  const TemporaryFolder folder;
  Child child([&] {
    const rlimit limit{2000, 2000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const CheckpointStore store(folder.path(), 2);
    store.save(1, 0, checkpoint_of(1, 0, 100));
    try {
      store.save(2, 0, checkpoint_of(2, 0, 1000));
    } catch (const RunError&) {
      return 0;
    }
    return 1;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(count_temporary_files(folder.path()), 0);
  const auto loaded = CheckpointStore(folder.path(), 2).load_newest();
  EXPECT_EQ(loaded.entry.epoch, 1);
  EXPECT_TRUE(loaded.damaged.empty());
}

TEST(CheckpointStore, KilledAtRandomMomentsTheNewestIsAlwaysComplete) {
  const TemporaryFolder folder;
  std::mt19937 random(7);
  std::int64_t epoch = 0;
  CheckpointStore(folder.path(), 2).save(0, 0, checkpoint_of(0, 0));
  for (int kill = 0; kill < 25; ++kill) {
    const Pipe saved;
    Child child([&] {
      const CheckpointStore store(folder.path(), 2);
      for (std::int64_t next = epoch + 1;; ++next) {
        store.save(next, 0, checkpoint_of(next, 0, 50'000));
        if (::write(saved.write_end(), "s", 1) != 1) return 1;
      }
    });
    ASSERT_FALSE(read_available(saved.read_end()).empty());
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    child.kill(SIGKILL);
    ASSERT_EQ(child.wait(), 1000 + SIGKILL);
    const auto entries = CheckpointStore(folder.path(), 2).list();
    EXPECT_GE(entries.size(), 2U);
    EXPECT_LE(entries.size(), 3U);  // killed between the new one and the deletion
    const auto loaded = CheckpointStore(folder.path(), 2).load_newest();
    EXPECT_TRUE(loaded.damaged.empty());
    EXPECT_GT(loaded.entry.epoch, epoch);
    EXPECT_EQ(position_in(loaded.checkpoint).first, loaded.entry.epoch);
    EXPECT_EQ(count_temporary_files(folder.path()), 0);
    epoch = loaded.entry.epoch;
  }
}

}  // namespace
}  // namespace flowdarts
