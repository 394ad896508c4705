#include "search_process.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/spaces/support/random.hpp>

namespace flowdarts::integration {

void write_cifar10(const fs::path& folder, int images) {
  fs::create_directories(folder);
  CounterRng rng(1, Stream::noise);
  int image = 0;
  for (int batch = 1; batch <= 5; ++batch) {
    std::string bytes;
    for (int i = 0; i < images / 5; ++i, ++image) {
      const int label = image % 10;
      bytes += static_cast<char>(label);
      for (int channel = 0; channel < 3; ++channel) {
        const int colour = 20 + 17 * ((label * (channel + 1)) % 10);
        for (int pixel = 0; pixel < 1024; ++pixel) bytes += static_cast<char>(colour + static_cast<int>(rng.below(64)));
      }
    }
    write(folder / ("data_batch_" + std::to_string(batch) + ".bin"), bytes);
  }
}

std::string read(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write(const fs::path& file, std::string_view bytes) {
  fs::create_directories(file.parent_path());
  std::ofstream stream(file, std::ios::binary);
  stream << bytes;
  if (!stream.flush()) throw std::runtime_error("cannot write " + file.string());
}

std::vector<std::string> Outcome::complaints() const {
  std::vector<std::string> lines;
  std::istringstream stream(err);
  for (std::string line; std::getline(stream, line);) {
    // "12:34:56 info  ..." and "epoch 1/4 ..."
    const bool log = line.size() > 9 && line[2] == ':' && line[5] == ':' && line[8] == ' ';
    if (!log && !line.starts_with("epoch ")) lines.push_back(line);
  }
  return lines;
}

Process::Process(const std::string& program, const Arguments& arguments, const fs::path& scratch,
                 std::uint64_t file_size_limit) {
  static int number = 0;
  const std::string name = "process-" + std::to_string(++number);
  out_ = scratch / (name + ".out");
  err_ = scratch / (name + ".err");
  const std::string path = fs::path(FLOWDARTS_BIN_DIR) / program;
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ != 0) return;
  const int out = ::open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err = ::open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  if (file_size_limit > 0) {
    const rlimit limit{file_size_limit, file_size_limit};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ::execv(path.c_str(), argv.data());
  ::_exit(127);
}

Process::~Process() {
  if (ended_) return;
  signal(SIGKILL);
  wait();
}

bool Process::running() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return !ended_;
}

bool Process::wait_until(const std::function<bool()>& reached) {
  for (;;) {
    if (reached()) return true;
    if (!running()) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

Outcome Process::wait() {
  if (!ended_) ::waitpid(pid_, &status_, 0);
  ended_ = true;
  return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 1000 + WTERMSIG(status_), read(out_), read(err_)};
}

Outcome run(const std::string& program, const Arguments& arguments, const fs::path& scratch,
            std::uint64_t file_size_limit) {
  return Process(program, arguments, scratch, file_size_limit).wait();
}

Arguments operator+(Arguments left, const Arguments& right) {
  for (std::size_t i = 0; i < right.size(); ++i) {
    const bool has_value = i + 1 < right.size() && right[i].starts_with("--") && !right[i + 1].starts_with("--");
    const auto given = std::ranges::find(left, right[i]);
    if (has_value && given != left.end()) {
      *(given + 1) = right[++i];
    } else {
      left.push_back(right[i]);
    }
  }
  return left;
}

std::vector<Json> timeless_metrics(const fs::path& run) {
  std::vector<Json> rows = read_metrics(run / "metrics.jsonl");
  for (Json& row : rows) {
    row.erase("seconds");
    row.erase("images_per_second");
  }
  return rows;
}

std::vector<fs::path> checkpoints(const fs::path& run) {
  std::vector<fs::path> files;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", missing)) {
    if (entry.path().extension() == ".ckpt") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

Checkpoint read_checkpoint(const fs::path& file) {
  return Checkpoint::parse(read_file(file), file.string());
}

std::string section(const Checkpoint& checkpoint, const std::string& name) {
  ByteReader reader = checkpoint.section(name);
  const auto bytes = reader.get_raw(reader.remaining());
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::int64_t> sample_list(const Checkpoint& checkpoint, const std::string& section) {
  return checkpoint.section(section).get_vector<std::int64_t>();
}

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[fs::relative(entry.path(), folder).string()] = read(entry.path());
  }
  return files;
}

void expect_same_run(const fs::path& found, const fs::path& expected) {
  ASSERT_FALSE(checkpoints(found).empty());
  ASSERT_FALSE(checkpoints(expected).empty());
  const fs::path found_last = checkpoints(found).back(), expected_last = checkpoints(expected).back();
  EXPECT_EQ(found_last.filename(), expected_last.filename());
  if (read(found_last) != read(expected_last)) {
    const Checkpoint left = read_checkpoint(found_last), right = read_checkpoint(expected_last);
    for (const auto& [key, value] : right.identity()) {
      EXPECT_THAT(left.identity(), ::testing::Contains(::testing::Pair(key, value)));
    }
    for (const char* name : {"position", "samples train", "samples val", "weights", "statistics", "momentum", "alpha",
                             "alpha first moment", "alpha second moment", "alpha steps", "derived"}) {
      EXPECT_TRUE(section(left, name) == section(right, name)) << "section " << name << " differs";
    }
    ADD_FAILURE() << found_last << " and " << expected_last << " differ";
  }
  EXPECT_EQ(read(found / "genotype.json"), read(expected / "genotype.json"));
  EXPECT_EQ(read(found / "genotype.dot"), read(expected / "genotype.dot"));
  EXPECT_EQ(timeless_metrics(found), timeless_metrics(expected));
}

std::string expect_valid_genotype(const fs::path& run) {
  const Json genotype = Json::parse(read(run / "genotype.json"));
  EXPECT_EQ(genotype.at("space"), "nas-bench-201");
  const std::string text = genotype.at("genotype");
  const std::string op = "(none|skip_connect|nor_conv_1x1|nor_conv_3x3|avg_pool_3x3)";
  EXPECT_THAT(text, ::testing::MatchesRegex("\\|" + op + "~0\\|\\+\\|" + op + "~0\\|" + op + "~1\\|\\+\\|" + op +
                                            "~0\\|" + op + "~1\\|" + op + "~2\\|"));
  EXPECT_EQ(read_metrics(run / "metrics.jsonl").back().at("genotype"), text);
  return text;
}

void Searches::expect_refused(const std::string& program, const Arguments& arguments,
                              const std::vector<std::string>& texts) const {
  const Outcome outcome = run(program, arguments);
  EXPECT_EQ(outcome.code, 2) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  ASSERT_EQ(outcome.complaints().size(), 1U) << outcome.err;
  EXPECT_THAT(outcome.complaints().front(), ::testing::StartsWith(program + ": "));
  for (const std::string& text : texts) EXPECT_THAT(outcome.complaints().front(), ::testing::HasSubstr(text));
}

}  // namespace flowdarts::integration
