#pragma once
// Search programs as child processes on tiny data, and what they leave behind.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "../pipeline/run_directory/testing.hpp"

namespace flowdarts::integration {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Arguments = std::vector<std::string>;

// ---- Data ----

/// A CIFAR-10 directory of `images` images, a multiple of 5; image i is of class i mod 10 and looks like it: its colour
/// is the class's, with noise.
void write_cifar10(const fs::path& folder, int images);

/// The whole of a file; empty where there is none.
std::string read(const fs::path& file);
void write(const fs::path& file, std::string_view bytes);

// ---- Programs ----

struct Outcome {
  int code = -1;  ///< exit status; 1000 + n where signal n ended the process
  std::string out, err;

  /// stderr without log and progress lines: what the program complains of.
  [[nodiscard]] std::vector<std::string> complaints() const;
};

/// A program of this build, or any with its whole path, that has been started.
class Process {
 public:
  /// `file_size_limit`: RLIMIT_FSIZE in bytes; 0: none. stdout and stderr go to files in `scratch`.
  Process(const std::string& program, const Arguments& arguments, const fs::path& scratch,
          std::uint64_t file_size_limit = 0);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  /// Kills what still runs.
  ~Process();

  void signal(int number) const { ::kill(pid_, number); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running();
  /// Looks every fifth of a millisecond until `reached` or the end of the process; true where it was reached first.
  bool wait_until(const std::function<bool()>& reached);
  Outcome wait();
  [[nodiscard]] std::string err() const { return read(err_); }

 private:
  pid_t pid_;
  fs::path out_, err_;
  int status_ = 0;
  bool ended_ = false;
};

/// Runs a program to its end.
Outcome run(const std::string& program, const Arguments& arguments, const fs::path& scratch,
            std::uint64_t file_size_limit = 0);

/// An option that both have gets the value it has on the right: programs refuse options given twice.
Arguments operator+(Arguments left, const Arguments& right);

// ---- Run directories ----

/// The rows of metrics.jsonl without what depends on the clock.
std::vector<Json> timeless_metrics(const fs::path& run);

/// Checkpoint files, oldest first.
std::vector<fs::path> checkpoints(const fs::path& run);

Checkpoint read_checkpoint(const fs::path& file);

/// A section's bytes.
std::string section(const Checkpoint& checkpoint, const std::string& name);

/// The ids still in T ("samples train") or V ("samples val").
std::vector<std::int64_t> sample_list(const Checkpoint& checkpoint, const std::string& section);

/// Every file below a folder: relative path -> bytes.
std::map<std::string, std::string> contents(const fs::path& folder);

/// Two finished runs are one and the same: newest checkpoint, genotype and metrics (but for times) agree byte for byte.
void expect_same_run(const fs::path& found, const fs::path& expected);

/// The genotype of a NAS-Bench-201 run, as its genotype.json says, which must agree with the last row.
std::string expect_valid_genotype(const fs::path& run);

// ---- Fixture ----

inline const std::string darts = "flowdarts-darts-nas-bench-201";
inline const std::string bdp_darts = "flowdarts-bdp-darts-nas-bench-201";
inline const std::string second_order = "flowdarts-darts-second-order-nas-bench-201";
inline const std::string el2n = "flowdarts-el2n-second-order-nas-bench-201";

/// A folder that vanishes, with a data set of 60 images in it: T and V have 30 each, 3 a class.
class Searches : public ::testing::Test {
 protected:
  void SetUp() override { write_cifar10(data_, 60); }

  /// A search as small as they come, into the folder `run`.
  [[nodiscard]] Arguments tiny(const std::string& run) const {
    return {"--dataset", "cifar10", "--data", data_.string(), "--out", (folder_ / run).string(), "--channels",
            "1",         "--cells", "1",      "--threads",    "1",     "--batch-size",           "10"};
  }

  Outcome run(const std::string& program, const Arguments& arguments, std::uint64_t file_size_limit = 0) const {
    return integration::run(program, arguments, folder_.path(), file_size_limit);
  }

  /// Runs to the end and expects it to be reached.
  void finish(const std::string& program, const Arguments& arguments) const {
    const Outcome outcome = run(program, arguments);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }

  /// Bad input: exit code 2 and one line on stderr that holds all of `texts`.
  void expect_refused(const std::string& program, const Arguments& arguments,
                      const std::vector<std::string>& texts) const;

  flowdarts::testing::TemporaryFolder folder_;
  fs::path data_ = folder_ / "cifar10";
};

}  // namespace flowdarts::integration
