#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/pipeline/run_directory/lock.hpp>
#include <flowdarts/pipeline/run_directory/run_directory.hpp>
#include <flowdarts/pipeline/run_directory/signals.hpp>
#include <fstream>

#include "testing.hpp"

namespace flowdarts {
namespace {

using namespace testing;

TEST(DirectoryLock, AProcessThatHoldsItIsNamed) {
  const TemporaryFolder folder;
  const Pipe ready;
  Child holder([&] {
    const DirectoryLock lock(folder.path());
    if (::write(ready.write_end(), "r", 1) != 1) return 1;
    ::pause();
    return 0;
  });
  ASSERT_EQ(read_available(ready.read_end()), "r");
  const auto message = message_of<InputError>([&] { DirectoryLock lock(folder.path()); });
  EXPECT_TRUE(
      message.starts_with(folder.path().string() + ": is in use by pid " + std::to_string(holder.pid()) + " on "))
      << message;
  EXPECT_NE(message.find(" since 20"), std::string::npos) << message;
}

TEST(DirectoryLock, IsRefusedToASecondObjectOfTheSameProcess) {
  const TemporaryFolder folder;
  const DirectoryLock lock(folder.path());
  EXPECT_THROW(DirectoryLock(folder.path()), InputError);
}

TEST(DirectoryLock, OneThatAKilledProcessLeftIsTakenOver) {
  const TemporaryFolder folder;
  for (int round = 0; round < 3; ++round) {
    const Pipe ready;
    Child holder([&] {
      const DirectoryLock lock(folder.path());
      if (::write(ready.write_end(), "r", 1) != 1) return 1;
      ::pause();
      return 0;
    });
    const pid_t pid = holder.pid();
    ASSERT_EQ(read_available(ready.read_end()), "r");
    EXPECT_THROW(DirectoryLock(folder.path()), InputError);
    holder.kill(SIGKILL);
    holder.wait();
    const DirectoryLock lock(folder.path());
    ASSERT_TRUE(lock.stale_holder());
    EXPECT_TRUE(lock.stale_holder()->starts_with("pid " + std::to_string(pid) + " on ")) << *lock.stale_holder();
  }
  const DirectoryLock lock(folder.path());
  EXPECT_FALSE(lock.stale_holder());  // released in order before
}

TEST(DirectoryLock, MovesWithItsObject) {
  const TemporaryFolder folder;
  {
    DirectoryLock first(folder.path());
    const DirectoryLock second(std::move(first));
    EXPECT_THROW(DirectoryLock(folder.path()), InputError);
  }
  EXPECT_NO_THROW(DirectoryLock(folder.path()));
}

TEST(DirectoryLock, PrintsNothingStrangeFromADamagedLockFile) {
  const TemporaryFolder folder;
  std::ofstream(folder / "lock") << "\x1b[2Jpid\t7\xff";
  EXPECT_EQ(DirectoryLock(folder.path()).stale_holder(), "?[2Jpid?7?");
}

TEST(RunDirectory, IsMadeWithItsParents) {
  const TemporaryFolder folder;
  const auto run = RunDirectory::create(folder / "runs/today/first");
  EXPECT_TRUE(std::filesystem::is_directory(run.checkpoints()));
  EXPECT_TRUE(std::filesystem::is_directory(run.events()));
  run.write_text("config.toml", "seed = 1\n");
  EXPECT_EQ(read_text_file(run.config()), "seed = 1\n");
  EXPECT_EQ(run.config(), folder / "runs/today/first/config.toml");
}

TEST(RunDirectory, ARunIsNeverOverwritten) {
  const TemporaryFolder folder;
  RunDirectory::create(folder / "run").write_text("config.toml", "seed = 1\n");
  EXPECT_EQ(message_of<InputError>([&] { RunDirectory::create(folder / "run"); }),
            (folder / "run").string() + ": already holds a run; --resume continues it, or choose another directory");
  for (const char* name : {"config.toml", "metrics.jsonl", "genotype.json"}) {
    const TemporaryFolder other;
    std::ofstream(other / name) << "something";
    EXPECT_THROW(RunDirectory::create(other.path()), InputError);
    EXPECT_FALSE(std::filesystem::exists(other / "lock")) << "nothing is left in a refused directory";
  }
}

TEST(RunDirectory, ARunKilledBeforeItsConfigurationStandsInNobodysWay) {
  const TemporaryFolder folder;
  { const auto run = RunDirectory::create(folder / "run"); }
  EXPECT_THROW(RunDirectory::resume(folder / "run"), InputError);
  std::ofstream(RunDirectory::create(folder / "run").checkpoints() / "any") << "something";
  EXPECT_THROW(RunDirectory::create(folder / "run"), InputError);
}

TEST(RunDirectory, AFolderWithoutARunMayBecomeOne) {
  const TemporaryFolder folder;
  std::ofstream(folder / "notes.txt") << "mine";
  EXPECT_NO_THROW(RunDirectory::create(folder.path()));
  EXPECT_EQ(read_text_file(folder / "notes.txt"), "mine");
}

TEST(RunDirectory, InUseIsSaidBeforeAnythingElse) {
  const TemporaryFolder folder;
  const auto run = RunDirectory::create(folder / "run");
  for (const auto& open : {&RunDirectory::create, &RunDirectory::resume}) {
    const auto message = message_of<InputError>([&] { open(folder / "run", {}); });
    EXPECT_NE(message.find("is in use by pid " + std::to_string(::getpid())), std::string::npos) << message;
  }
}

TEST(RunDirectory, ResumesOnlyARun) {
  const TemporaryFolder folder;
  EXPECT_NE(message_of<InputError>([&] { RunDirectory::resume(folder / "none"); }).find("found no directory"),
            std::string::npos);
  EXPECT_NE(message_of<InputError>([&] { RunDirectory::resume(folder.path()); }).find("holds no run"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "lock"));
  RunDirectory::create(folder / "run").write_text("config.toml", "seed = 1\n");
  std::ofstream(folder / "run/genotype.json.77.0.tmp") << "half";
  const auto run = RunDirectory::resume(folder / "run");
  EXPECT_EQ(read_text_file(run.config()), "seed = 1\n");
  EXPECT_EQ(count_temporary_files(run.root()), 0);
}

TEST(RunDirectory, WhatIsNoDirectoryIsRefused) {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "mine";
  EXPECT_THROW(RunDirectory::create(folder / "file"), InputError);
  EXPECT_THROW(RunDirectory::create(folder / "file/below"), InputError);
  EXPECT_THROW(RunDirectory::resume(folder / "file"), InputError);
  EXPECT_EQ(read_text_file(folder / "file"), "mine");
}

TEST(RunDirectory, NothingLeadsOutOfIt) {
  const TemporaryFolder folder;
  const auto run = RunDirectory::create(folder / "run");
  for (const std::string name : {"", ".", "..", "../x", "/etc/x", "a/b", "events/../../x"})
    EXPECT_THROW(run.write_text(name, "text"), InputError) << name;
  EXPECT_THROW(run.write_text(std::string_view("a\0b", 3), "text"), InputError);
  std::ofstream(folder / "victim") << "mine";
  std::filesystem::create_symlink(folder / "victim", run.genotype_json());
  run.write_text("genotype.json", "{}");
  EXPECT_EQ(read_text_file(folder / "victim"), "mine");
  EXPECT_EQ(read_text_file(run.genotype_json()), "{}");
}

TEST(RunDirectory, APartThatIsALinkIsRefused) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "elsewhere");
  std::filesystem::create_directory(folder / "run");
  std::filesystem::create_directory_symlink(folder / "elsewhere", folder / "run/checkpoints");
  EXPECT_NE(message_of<InputError>([&] { RunDirectory::resume(folder / "run"); }).find("symbolic link"),
            std::string::npos);
}

// A child that waits for a signal and tells what it saw: 10 + signal.
Child waiting_child(const Pipe& ready, const Pipe& error_output, bool returns_on_request) {
  return Child([&ready, &error_output, returns_on_request] {
    ::dup2(error_output.write_end(), STDERR_FILENO);
    const StopSignals signals;
    if (::write(ready.write_end(), "r", 1) != 1) return 1;
    while (!returns_on_request || signals.requested() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return 10 + signals.requested();
  });
}

TEST(StopSignals, TheFirstIsRememberedAndSaidInOneLine) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const Pipe ready;
    const Pipe error_output;
    Child child = waiting_child(ready, error_output, true);
    ASSERT_EQ(read_available(ready.read_end()), "r");
    child.kill(signal);
    EXPECT_EQ(child.wait(), 10 + signal);
    EXPECT_EQ(read_available(error_output.read_end()),
              std::string(signal == SIGINT ? "SIGINT" : "SIGTERM") +
                  ": stopping after this step; a second signal stops at once\n");
  }
}

TEST(StopSignals, TheSecondEndsTheProcessAtOnce) {
  for (const auto& [first, second] : {std::pair{SIGINT, SIGINT}, {SIGINT, SIGTERM}, {SIGTERM, SIGINT}}) {
    const Pipe ready;
    const Pipe error_output;
    Child child = waiting_child(ready, error_output, false);
    ASSERT_EQ(read_available(ready.read_end()), "r");
    child.kill(first);
    ASSERT_FALSE(read_available(error_output.read_end()).empty());
    child.kill(second);
    EXPECT_EQ(child.wait(), 128 + second);
  }
}

TEST(StopSignals, RestoresTheHandlersBefore) {
  struct sigaction before {};
  struct sigaction after {};
  ::signal(SIGTERM, SIG_IGN);
  {
    const StopSignals signals;
    EXPECT_EQ(signals.requested(), 0);
    EXPECT_THROW(StopSignals(), std::logic_error);
    ::raise(SIGINT);
    EXPECT_EQ(signals.requested(), SIGINT);
    ::sigaction(SIGTERM, nullptr, &before);
    EXPECT_NE(before.sa_handler, SIG_IGN);
  }
  ::sigaction(SIGTERM, nullptr, &after);
  EXPECT_EQ(after.sa_handler, SIG_IGN);
  ::signal(SIGTERM, SIG_DFL);
  const StopSignals again;
  EXPECT_EQ(again.requested(), 0);
}

}  // namespace
}  // namespace flowdarts
