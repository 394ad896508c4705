#include <flowdarts/pipeline/run_directory/atomic_file.hpp>

#include "testing.hpp"

namespace flowdarts {
namespace {

using namespace testing;
using ::testing::TestWithParam;

const std::string old_text = "old content";
const std::string new_text(10'000, 'n');

TEST(AtomicFile, ReplacesTheContent) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", old_text);
  write_file_atomically(folder / "file", new_text);
  EXPECT_EQ(read_text_file(folder / "file"), new_text);
  write_file_atomically(folder / "file", "");
  EXPECT_EQ(read_text_file(folder / "file"), "");
  EXPECT_EQ(count_temporary_files(folder.path()), 0);
}

TEST(AtomicFile, ReplacesALinkInsteadOfFollowingIt) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "elsewhere", old_text);
  std::filesystem::create_symlink(folder / "elsewhere", folder / "file");
  write_file_atomically(folder / "file", new_text);
  EXPECT_EQ(read_text_file(folder / "elsewhere"), old_text);
  EXPECT_EQ(read_text_file(folder / "file"), new_text);
}

TEST(AtomicFile, TwoWritersDoNotShareATemporaryFile) {
  const TemporaryFolder folder;
  std::vector<std::thread> writers;
  for (char c : {'a', 'b', 'c'})
    writers.emplace_back([&, c] {
      for (int i = 0; i < 20; ++i) write_file_atomically(folder / "file", std::string(50'000, c));
    });
  for (auto& writer : writers) writer.join();
  const std::string text = read_text_file(folder / "file");
  EXPECT_EQ(text, std::string(50'000, text[0]));
  EXPECT_EQ(count_temporary_files(folder.path()), 0);
}

TEST(AtomicFile, AFailureOfAnyCallLeavesTheOldOrTheNewContentWhole) {
  for (const int error : {ENOSPC, EIO, EDQUOT, EFBIG}) {
    int number = 0;
    int failures = 0;
    for (bool reached = true; reached;) {
      const TemporaryFolder folder;
      write_file_atomically(folder / "file", old_text);
      const auto count = std::make_shared<int>(0);
      const FileCalls calls = faulty_calls(++number, Fault::fail, error, count);
      std::string message;
      try {
        write_file_atomically(folder / "file", new_text, calls);
      } catch (const RunError& failure) {
        message = failure.what();
        ++failures;
      }
      reached = *count >= number;
      const std::string text = read_text_file(folder / "file");
      if (message.empty()) {
        EXPECT_EQ(text, new_text);
      } else {
        EXPECT_TRUE(text == old_text || text == new_text) << "call " << number;
        EXPECT_NE(message.find((folder / "file").string()), std::string::npos) << message;
        EXPECT_NE(message.find(std::generic_category().message(error)), std::string::npos) << message;
      }
      EXPECT_EQ(count_temporary_files(folder.path()), 0) << "call " << number;
    }
    // open, write, fsync, close, rename, open and fsync of the folder.
    EXPECT_EQ(failures, 7);
  }
}

TEST(AtomicFile, ADiskThatStaysBrokenLeavesTheOldOrTheNewContentWhole) {
  for (int number = 1; number <= 8; ++number) {
    const TemporaryFolder folder;
    write_file_atomically(folder / "file", old_text);
    const auto count = std::make_shared<int>(0);
    if (number < 8) {
      EXPECT_THROW(write_file_atomically(folder / "file", new_text, faulty_calls(number, Fault::fail_on, EIO, count)),
                   RunError);
    }
    const std::string text = read_text_file(folder / "file");
    EXPECT_TRUE(text == old_text || text == new_text) << "call " << number;
    remove_temporary_files(folder.path());
    EXPECT_EQ(count_temporary_files(folder.path()), 0);
  }
}

TEST(AtomicFile, ShortAndInterruptedCallsAreContinued) {
  for (int number = 1; number <= 8; ++number) {
    const TemporaryFolder folder;
    const auto count = std::make_shared<int>(0);
    write_file_atomically(folder / "file", new_text, faulty_calls(number, Fault::half, 0, count));
    EXPECT_EQ(read_text_file(folder / "file"), new_text);
    if (number == 5) continue;  // rename is never interrupted
    *count = 0;
    write_file_atomically(folder / "file", old_text, faulty_calls(number, Fault::fail, EINTR, count));
    EXPECT_EQ(read_text_file(folder / "file"), old_text);
  }
}

TEST(AtomicFile, ADiskThatFillsAfterAShortWriteLeavesTheOldContent) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", old_text);
  const auto count = std::make_shared<int>(0);
  EXPECT_THROW(write_file_atomically(folder / "file", new_text, faulty_calls(2, Fault::half_fail, ENOSPC, count)),
               RunError);
  EXPECT_EQ(read_text_file(folder / "file"), old_text);
  EXPECT_EQ(count_temporary_files(folder.path()), 0);
}

TEST(AtomicFile, ACrashAtAnyCallLeavesTheOldOrTheNewContentWhole) {
  for (const Fault fault : {Fault::crash, Fault::half_crash}) {
    int crashes = 0;
    for (int number = 1; number <= 9; ++number) {
      const TemporaryFolder folder;
      write_file_atomically(folder / "file", old_text);
      Child child([&] {
        write_file_atomically(folder / "file", new_text, faulty_calls(number, fault, 0, std::make_shared<int>(0)));
        return 1;
      });
      crashes += child.wait() == 0;
      const std::string text = read_text_file(folder / "file");
      EXPECT_TRUE(text == old_text || text == new_text) << "call " << number;
      remove_temporary_files(folder.path());
      EXPECT_EQ(count_temporary_files(folder.path()), 0);
    }
    EXPECT_EQ(crashes, fault == Fault::crash ? 8 : 1);
  }
}

TEST(AtomicFile, OnlyItsOwnTemporaryFilesAreRemoved) {
  const TemporaryFolder folder;
  for (const char* name : {"a.tmp", "a.1.tmp", "a.x.1.tmp", "a.1..tmp", ".1.tmp"})
    write_file_atomically(folder / name, old_text);
  for (const char* name : {"a.12.0.tmp", "b.json.1.13.tmp"}) write_file_atomically(folder / name, old_text);
  std::filesystem::create_directory(folder / "c.1.2.tmp");
  remove_temporary_files(folder.path());
  EXPECT_EQ(count_temporary_files(folder.path()), 6);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.12.0.tmp"));
  EXPECT_FALSE(std::filesystem::exists(folder / "b.json.1.13.tmp"));
}

TEST(AtomicFile, AFileSizeLimitIsAnErrorAndNotASignal) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", old_text);
  Child child([&] {
    ::signal(SIGXFSZ, SIG_DFL);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_file_atomically(folder / "file", new_text);
    } catch (const RunError& error) {
      return std::string(error.what()).find("File too large") == std::string::npos ? 2 : 0;
    }
    return 1;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(read_text_file(folder / "file"), old_text);
  EXPECT_EQ(count_temporary_files(folder.path()), 0);
}

TEST(AtomicFile, AFullDeviceIsNamed) {
  const std::string message = message_of<RunError>([] { AppendFile("/dev/full").append("text"); });
  EXPECT_EQ(message, "cannot write /dev/full: No space left on device");
}

TEST(ReadFile, NamesWhatCannotBeRead) {
  const TemporaryFolder folder;
  EXPECT_EQ(message_of<InputError>([&] { read_file(folder / "none"); }),
            "cannot read " + (folder / "none").string() + ": no such file");
  EXPECT_EQ(message_of<InputError>([&] { read_file(folder.path()); }),
            "cannot read " + folder.path().string() + ": not a regular file");
}

TEST(AppendFile, AppendsAndReopens) {
  const TemporaryFolder folder;
  AppendFile(folder / "file").append("one ");
  AppendFile file(folder / "file");
  EXPECT_EQ(file.size(), 4U);
  file.append("two");
  file.sync();
  EXPECT_EQ(read_text_file(folder / "file"), "one two");
  EXPECT_THROW(AppendFile::create_new(folder / "file"), RunError);
}

TEST(AppendFile, RefusesALink) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "elsewhere", old_text);
  std::filesystem::create_symlink(folder / "elsewhere", folder / "file");
  EXPECT_THROW(AppendFile(folder / "file"), RunError);
}

TEST(AppendFile, AFailedAppendLeavesNoPart) {
  const TemporaryFolder folder;
  // open is call 1, the writes come from 2 on; the file is cut back after the failed third.
  AppendFile file(folder / "file", faulty_calls(3, Fault::half_fail, ENOSPC, std::make_shared<int>(0)));
  file.append("first\n");
  EXPECT_THROW(file.append("second\n"), RunError);
  EXPECT_EQ(read_text_file(folder / "file"), "first\n");
  file.append("third\n");
  EXPECT_EQ(read_text_file(folder / "file"), "first\nthird\n");
}

TEST(AppendFile, AShortWriteIsContinued) {
  const TemporaryFolder folder;
  AppendFile file(folder / "file", faulty_calls(2, Fault::half, 0, std::make_shared<int>(0)));
  file.append("first\n");
  EXPECT_EQ(read_text_file(folder / "file"), "first\n");
}

TEST(AppendFile, AFileSizeLimitLeavesWholeRecords) {
  const TemporaryFolder folder;
  Child child([&] {
    const rlimit limit{25, 25};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    AppendFile file(folder / "file");
    try {
      for (;;) file.append("ten bytes\n");
    } catch (const RunError&) {
      return 0;
    }
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(read_text_file(folder / "file"), "ten bytes\nten bytes\n");
}

}  // namespace
}  // namespace flowdarts
