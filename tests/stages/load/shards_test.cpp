#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <clocale>
#include <cstdlib>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/image_lists.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <flowdarts/stages/load/shard_index.hpp>
#include <flowdarts/stages/load/shards.hpp>
#include <flowdarts/stages/load/split.hpp>
#include <iostream>
#include <numeric>
#include <thread>

#include "test_images.hpp"

namespace flowdarts {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::Bytes;
using ::testing::ElementsAre;
using testing::encode_png;
using ::testing::HasSubstr;
using testing::input_error;
using ::testing::IsEmpty;
using testing::pattern;
using testing::TemporaryDirectory;
using testing::write_file;

struct Member {
  std::string name;
  Bytes bytes = {};
  mode_t type = AE_IFREG;
};

Bytes text(const std::string& characters) {
  return {characters.begin(), characters.end()};
}

Bytes image(int phase, int side = 8) {
  return encode_png(pattern(side, side, 3, phase), side, side);
}

/// The members of one sample.
std::vector<Member> sample(const std::string& key, int phase, const std::string& label) {
  return {{key + ".png", image(phase)}, {key + ".cls", text(label)}};
}

std::vector<Member> joined(std::initializer_list<std::vector<Member>> parts) {
  std::vector<Member> all;
  for (const std::vector<Member>& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

void write_tar(const fs::path& file, const std::vector<Member>& members, int format = ARCHIVE_FORMAT_TAR_USTAR) {
  fs::create_directories(file.parent_path());
  archive* tar = archive_write_new();
  archive_write_set_format(tar, format);
  archive_write_set_bytes_in_last_block(tar, 1);
  ASSERT_EQ(archive_write_open_filename(tar, file.c_str()), ARCHIVE_OK);
  for (const Member& member : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, member.name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(member.bytes.size()));
    archive_entry_set_filetype(entry, member.type);
    archive_entry_set_perm(entry, 0644);
    if (member.type == AE_IFLNK) archive_entry_set_symlink(entry, "elsewhere");
    ASSERT_EQ(archive_write_header(tar, entry), ARCHIVE_OK) << archive_error_string(tar);
    archive_write_data(tar, member.bytes.data(), member.bytes.size());
    archive_entry_free(entry);
  }
  ASSERT_EQ(archive_write_close(tar), ARCHIVE_OK);
  archive_write_free(tar);
}

class Shards : public ::testing::Test {
 protected:
  [[nodiscard]] fs::path shard(int k) const { return root_.path() / ("set-00" + std::to_string(k) + ".tar"); }
  [[nodiscard]] fs::path index_file() const { return root_.path() / "shards.index"; }
  [[nodiscard]] std::shared_ptr<const Dataset> open(bool skip_corrupt = false, const fs::path& path = {}) const {
    return open_dataset({.kind = "shards", .path = path.empty() ? root_.path() : path, .skip_corrupt = skip_corrupt});
  }
  [[nodiscard]] std::string error(const fs::path& path = {}) const {
    return input_error([&] { (void)open(false, path); });
  }
  /// What is left out of a single shard with these members, and the labels of what is not.
  std::vector<std::string> damage_of(const std::vector<Member>& members) {
    write_tar(shard(0), members);
    ShardIndex index = index_shards(find_shards(shard(0)), 0);
    labels_ = std::move(index.labels);
    return std::move(index.damage);
  }

  TemporaryDirectory root_;
  std::vector<std::int32_t> labels_;
};

TEST_F(Shards, AreReadWhateverTheDialectOfTar) {
  const std::string longer = "folder/" + std::string(120, 'x') + "/name-" + std::string(150, 'y');
  for (const int format : {ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FORMAT_TAR_GNUTAR, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE}) {
    fs::remove(index_file());
    const bool long_names = format != ARCHIVE_FORMAT_TAR_USTAR;
    write_tar(shard(0),
              joined({sample("a", 1, "2\n"),
                      sample(long_names ? longer : "c/d", 2, "0"),
                      {{"b/README", text("not a sample")}, {"__meta__.json", text("{}")}, {"b.seg.png", image(9)}},
                      {{"b/x.cls", text(" 1")}}}),
              format);
    EXPECT_THAT(error(), HasSubstr("expected a class number, 0 to 65535"));  // " 1": no blanks in front
    fs::remove(index_file());
    write_tar(shard(0),
              joined({sample("a", 1, "2\n"),
                      sample(long_names ? longer : "c/d", 2, "0"),
                      {{"b/README", text("not a sample")}, {"__meta__.json", text("{}")}, {"b.seg.png", image(9)}}}),
              format);
    write_tar(shard(1), {{"a.json", text("{}")}, {"a.CLS", text("1")}, {"a.txt", text("x")}, {"a.PNG", image(3)}},
              format);
    const auto dataset = open();
    EXPECT_THAT(dataset->labels(), ElementsAre(2, 0, 1));
    EXPECT_THAT(dataset->class_names(), ElementsAre("0", "1", "2"));
    EXPECT_THAT(dataset->shards(), ElementsAre(0, 2, 3));
    EXPECT_EQ(dataset->geometry().size, 8);
    EXPECT_TRUE(dataset->geometry().fixed);
    for (int i = 0; i < 3; ++i) {
      Image decoded;
      dataset->decode(i, decoded);
      EXPECT_EQ(decoded.pixels, pattern(8, 8, 3, i + 1)) << i << " of format " << format;
    }
  }
}

TEST_F(Shards, WithNamesOfOtherAlphabetsAreApart) {
  setlocale(LC_CTYPE, "C.UTF-8");  // for libarchive to write them into pax headers
  write_tar(shard(0), joined({sample("\xC3\xA4", 1, "0"), sample("\xC3\xB6", 2, "1")}),
            ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE);
  setlocale(LC_CTYPE, "C");
  EXPECT_THAT(open()->labels(), ElementsAre(0, 1));
}

TEST_F(Shards, AreNamedByAFolderAFileOrAPattern) {
  for (int k = 0; k < 3; ++k) write_tar(shard(k), sample("a", k, std::to_string(k)));
  write_file(root_.path() / "notes.txt", text("x"));
  EXPECT_THAT(open()->labels(), ElementsAre(0, 1, 2));
  EXPECT_THAT(open(false, shard(1))->labels(), ElementsAre(1));
  const auto pattern_labels = [&](const std::string& name) {
    const auto dataset = open(false, root_.path() / name);
    return std::vector<std::int32_t>(dataset->labels().begin(), dataset->labels().end());
  };
  EXPECT_THAT(pattern_labels("set-{001..002}.tar"), ElementsAre(1, 2));
  EXPECT_THAT(pattern_labels("set-00{0..1}.tar"), ElementsAre(0, 1));
  EXPECT_THAT(error(root_.path() / "set-{000..003}.tar"), HasSubstr("set-003.tar: cannot be read"));
  for (const char* name : {"set-{000..}.tar", "set-{002..001}.tar", "set-{a..b}.tar", "set-{000}.tar", "{0..1}{0..1}",
                           "set-{0..9999999999}.tar", "set-{-1..2}.tar", "set-{000..002"}) {
    EXPECT_THAT(error(root_.path() / name), HasSubstr("expected a folder, a file or a pattern")) << name;
  }
  const TemporaryDirectory empty;
  EXPECT_THAT(error(empty.path()), HasSubstr("found no *.tar"));
  EXPECT_THAT(error(empty.path() / "x.tar"), HasSubstr("x.tar: cannot be read"));
  EXPECT_THAT(input_error([&] { (void)open_dataset({.kind = "shards", .path = root_.path(), .part = Part::test}); }),
              HasSubstr("no test part"));
}

TEST_F(Shards, CallClassesAsTheFileBesideThemSays) {
  write_tar(shard(0), joined({sample("a", 1, "1"), sample("b", 2, "2")}));
  EXPECT_EQ(open()->classes(), 3);
  const std::uint64_t unnamed = open()->fingerprint();
  write_file(root_.path() / classes_list, text("ant\nbee\ncat\ndog\n"));
  EXPECT_THAT(open()->class_names(), ElementsAre("ant", "bee", "cat", "dog"));
  EXPECT_NE(open()->fingerprint(), unnamed);
  write_file(root_.path() / classes_list, text("ant\nbee\n"));
  EXPECT_THAT(error(), AllOf(HasSubstr("set-000.tar: \"b.cls\" found \"2\""), HasSubstr("0 to 1")));
  write_file(root_.path() / classes_list, text("ant\nant\n"));
  EXPECT_THAT(error(), HasSubstr("classes.txt: line 2"));
}

TEST_F(Shards, ThatAreBrokenAreNamedWithTheMember) {
  const std::vector<Member> good = sample("good", 1, "0");
  const auto expect_left_out = [&](const std::vector<Member>& bad, const std::string& member, const std::string& why) {
    EXPECT_THAT(damage_of(joined({good, bad, sample("last", 1, "7")})),
                ElementsAre(AllOf(HasSubstr("set-000.tar: \"" + member + "\""), HasSubstr(why))));
    EXPECT_THAT(labels_, ElementsAre(0, 7)) << why;
  };
  expect_left_out({{"x.png", image(1)}}, "x", "no .cls member");
  expect_left_out({{"x.cls", text("1")}}, "x", ".cls member alone");
  for (const char* label : {"", "one", "1.5", "-1", "65536", "99999999999999999999", "0x1", "1 2", "1\n2", " 1"}) {
    expect_left_out({{"x.png", image(1)}, {"x.cls", text(label)}}, "x.cls", "expected a class number");
  }
  expect_left_out({{"x.png", image(1)}, {"x.cls", Bytes(100000, '1')}}, "x.cls", "100000 bytes");
  expect_left_out({{"x.png", image(1)}, {"x.jpg", image(1)}, {"x.cls", text("1")}}, "x.jpg", "second image");
  expect_left_out({{"x.png", image(1)}, {"x.cls", text("1")}, {"x.cls", text("1")}}, "x.cls", "second class");
  expect_left_out({{"x.png", {}, AE_IFLNK}, {"x.cls", text("1")}}, "x.png", "not a regular file");
  EXPECT_THAT(damage_of(joined({good, sample("b", 1, "1"), sample("good", 2, "2"), sample("c", 1, "3")})),
              ElementsAre(AllOf(HasSubstr("\"good\""), HasSubstr("once more"))));
  EXPECT_THAT(labels_, ElementsAre(0, 1, 3));

  fs::remove(index_file());
  write_tar(shard(0), joined({good, {{"x\n.png", image(1)}}}));
  EXPECT_THAT(error(), HasSubstr("set-000.tar: \"x\\x0a\" found no .cls"));
  const auto rest = open(/*skip_corrupt=*/true);
  EXPECT_EQ(rest->size(), 1);
  EXPECT_THAT(rest->skipped(), ElementsAre(HasSubstr("no .cls")));
  write_tar(shard(0), {{"x.png", image(1)}});
  EXPECT_THAT(input_error([&] { (void)open(true); }), HasSubstr("found no image with a class"));
}

TEST_F(Shards, ThatAreCutOffLoseOnlyTheRest) {
  write_tar(shard(0), joined({sample("a", 1, "0"), sample("b", 2, "1"), sample("c", 3, "2")}));
  const Bytes whole = read_file(shard(0), 1 << 20);
  std::size_t most = 0;
  for (std::size_t size = 0; size < whole.size(); size += 64) {
    write_file(shard(0), std::span(whole).first(size));
    try {
      const ShardIndex index = index_shards(find_shards(shard(0)), 0);
      most = std::max(most, index.labels.size());
      for (std::size_t i = 0; i < index.labels.size(); ++i) {
        EXPECT_EQ(index.labels[i], static_cast<std::int32_t>(i)) << size;
        EXPECT_LE(index.offsets[i] + index.lengths[i], size);
      }
      // The mark of the end is two blocks, of which the first says enough.
      EXPECT_EQ(index.damage.size(), size + 512 < whole.size() ? 1U : 0U) << size;
    } catch (const InputError& error) {
      EXPECT_LT(size, 512U) << error.what();
    }
  }
  EXPECT_EQ(most, 3U);
}

TEST_F(Shards, ThatAreNoTarFilesAreRefused) {
  const std::vector<Member> members = sample("a", 1, "0");
  write_tar(shard(0), members);
  const Bytes tar = read_file(shard(0), 1 << 20);
  for (const Bytes& bytes : {testing::gzip(tar), Bytes{}, Bytes(5000, 'x'), image(1)}) {
    write_file(shard(0), bytes);
    for (const bool skip : {false, true}) {
      EXPECT_THAT(input_error([&] { (void)open(skip); }),
                  AllOf(HasSubstr("set-000.tar: found no tar file"), HasSubstr("not compressed")));
    }
  }
  fs::remove(shard(0));
  fs::create_directory(shard(0));
  EXPECT_THAT(error(), HasSubstr("set-000.tar: is not a regular file"));
}

TEST_F(Shards, WithSparseMembersAreNamed) {
  if (std::system("tar --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no tar program";
  const fs::path file = root_.path() / "x.png";
  write_file(file, image(1));
  fs::resize_file(file, 10'000'000);
  write_file(root_.path() / "x.cls", text("0"));
  for (const char* format : {"--format=gnu", "--format=pax"}) {
    const std::string command =
        "tar -C " + root_.path().string() + " --sparse " + format + " -cf " + shard(0).string() + " x.png x.cls";
    ASSERT_EQ(std::system(command.c_str()), 0);
    const ShardIndex index = index_shards(find_shards(shard(0)), 0);
    EXPECT_THAT(index.damage, ElementsAre(AllOf(HasSubstr("x.png"), HasSubstr("is sparse")))) << format;
    EXPECT_THAT(index.labels, IsEmpty());
  }
}

TEST_F(Shards, ThatChangeAfterwardsAreRefused) {
  write_tar(shard(0), joined({sample("a", 1, "0"), sample("b", 2, "1")}));
  write_tar(shard(1), sample("a", 1, "0"));
  const auto dataset = open();  // has read from the first shard only
  write_tar(shard(1), sample("a", 2, "0"));
  fs::last_write_time(shard(1), fs::last_write_time(shard(1)) + std::chrono::seconds(2));
  Image decoded;
  dataset->decode(1, decoded);
  EXPECT_THAT(input_error([&] { dataset->decode(2, decoded); }), HasSubstr("set-001.tar: has changed"));
  fs::remove(shard(1));
  EXPECT_THAT(input_error([&] { dataset->decode(2, decoded); }), HasSubstr("set-001.tar: cannot be read"));
}

TEST_F(Shards, AnImageThatDoesNotDecodeIsNamedByItsPlace) {
  write_tar(shard(0), joined({sample("a", 1, "0"), {{"b.jpg", text("no image")}, {"b.cls", text("1")}}}));
  const auto dataset = open();
  Image decoded;
  EXPECT_THAT(input_error([&] { dataset->decode(1, decoded); }),
              AllOf(HasSubstr("set-000.tar: image at byte "), HasSubstr("neither JPEG nor PNG")));
}

// More shards than are kept open, read by several threads in an order that suits none of them.
TEST_F(Shards, AreReadByThreadsWithFewFilesOpen) {
  constexpr int shards = 150;
  for (int k = 0; k < shards; ++k) {
    write_tar(root_.path() / ("s" + std::to_string(1000 + k) + ".tar"), sample("a", k, "0"));
  }
  const auto dataset = open();
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const auto files =
      static_cast<rlim_t>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
  const rlimit few{files + 64 + 8, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        Image decoded;
        for (int i = 0; i < 2 * shards; ++i) {
          const int id = (i * 37 + t * 11) % shards;
          dataset->decode(id, decoded);
          right += decoded.pixels == pattern(8, 8, 3, id) ? 1 : 0;
        }
      });
    }
  }
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(right, 4 * 2 * shards);
}

TEST_F(Shards, AreIndexedOnce) {
  for (int k = 0; k < 3; ++k) write_tar(shard(k), sample("a", k, std::to_string(k)));
  const std::uint64_t fingerprint = open()->fingerprint();
  const Bytes index = read_file(index_file(), 1 << 20);
  // What the tar files hold now is not looked at as long as size and time are the same.
  const auto time = fs::last_write_time(shard(2));
  const Bytes tar = read_file(shard(2), 1 << 20);
  write_file(shard(2), Bytes(tar.size(), 'x'));
  fs::last_write_time(shard(2), time);
  EXPECT_EQ(open()->fingerprint(), fingerprint);
  EXPECT_EQ(read_file(index_file(), 1 << 20), index);
  fs::last_write_time(shard(2), time + std::chrono::seconds(1));
  EXPECT_THAT(error(), HasSubstr("set-002.tar: found no tar file"));
  write_file(shard(2), tar);
  EXPECT_EQ(open()->fingerprint(), fingerprint);

  write_tar(shard(2), joined({sample("a", 1, "2"), sample("b", 1, "3")}));  // another size
  EXPECT_THAT(open()->labels(), ElementsAre(0, 1, 2, 3));
  fs::rename(shard(2), root_.path() / "z.tar");
  EXPECT_NE(open()->fingerprint(), fingerprint);
  EXPECT_EQ(open()->size(), 4);
  fs::remove(shard(1));
  EXPECT_EQ(open()->size(), 3);
}

TEST_F(Shards, ADamagedIndexIsMadeAnew) {
  write_tar(shard(0), joined({sample("a", 1, "0"), {{"b.png", image(2)}}}));
  const std::uint64_t fingerprint = open(true)->fingerprint();
  const Bytes whole = read_file(index_file(), 1 << 20);
  const auto expect_made_anew = [&](const Bytes& bytes, std::size_t where) {
    write_file(index_file(), bytes);
    const auto dataset = open(true);
    EXPECT_EQ(dataset->fingerprint(), fingerprint) << where;
    EXPECT_THAT(dataset->skipped(), ElementsAre(HasSubstr("no .cls")));
    EXPECT_EQ(read_file(index_file(), 1 << 20), whole) << where;
  };
  for (std::size_t i = 0; i < whole.size(); i += 5) {
    Bytes changed = whole;
    changed[i] ^= 0x41;
    expect_made_anew(changed, i);
    expect_made_anew({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(i)}, i);
  }
  Bytes longer = whole;
  longer.push_back(0);
  expect_made_anew(longer, whole.size());
  for (const fs::directory_entry& entry : fs::directory_iterator(root_.path())) {
    EXPECT_THAT(entry.path().filename().string(), ::testing::AnyOf("set-000.tar", "shards.index"));
  }
}

TEST_F(Shards, WhereNothingMayBeWrittenTheIndexIsInTheCache) {
  const TemporaryDirectory cache;
  setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
  write_tar(shard(0), sample("a", 1, "0"));
  // A folder in the index's place: nothing can be renamed to it, even by root.
  write_file(index_file() / "x", Bytes{});
  const std::vector<fs::path> files = shard_index_files(root_.path());
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0], index_file());
  EXPECT_EQ(files[1].parent_path(), cache.path() / "flowdarts");
  const std::uint64_t fingerprint = open()->fingerprint();
  EXPECT_TRUE(fs::is_regular_file(files[1]));
  EXPECT_EQ(open()->fingerprint(), fingerprint);
  setenv("XDG_CACHE_HOME", (root_.path() / "set-000.tar").c_str(), 1);  // no folder can be made there
  EXPECT_EQ(open()->fingerprint(), fingerprint);
  unsetenv("XDG_CACHE_HOME");
}

TEST_F(Shards, MayBeIndexedByManyProcessesAtOnce) {
  for (int k = 0; k < 5; ++k) write_tar(shard(k), joined({sample("a", k, "0"), sample("b", k, "1")}));
  const std::uint64_t fingerprint = open()->fingerprint();
  fs::remove(index_file());
  std::vector<pid_t> processes;
  for (int p = 0; p < 8; ++p) {
    const pid_t child = fork();
    if (child == 0) {
      bool same = true;
      for (int i = 0; i < 20; ++i) {
        same = same && open()->fingerprint() == fingerprint;
        if (i % 3 == p % 3) fs::remove(index_file());
      }
      _exit(same ? 0 : 1);
    }
    processes.push_back(child);
  }
  for (const pid_t child : processes) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(open()->fingerprint(), fingerprint);
}

TEST_F(Shards, SplitByClassAsOtherSetsDo) {
  for (int k = 0; k < 4; ++k) {
    std::vector<Member> members;
    for (int i = 0; i < 6; ++i) {
      const std::vector<Member> one = sample("s" + std::to_string(i), i, std::to_string(i % 3));
      members.insert(members.end(), one.begin(), one.end());
    }
    write_tar(shard(k), members);
  }
  const auto dataset = open();
  std::vector<std::int64_t> ids(24);
  std::iota(ids.begin(), ids.end(), 0);
  const SplitLists split = stratified_split(ids, dataset->labels(), dataset->classes(), 0.5, 1);
  std::vector<int> counts(3);
  for (const std::int64_t id : split.train) ++counts[static_cast<std::size_t>(dataset->label(id))];
  EXPECT_THAT(counts, ElementsAre(4, 4, 4));
}

}  // namespace
}  // namespace flowdarts
