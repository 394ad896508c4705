// The `flowdarts` program from outside: stdout, stderr, exit code.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace {

using nlohmann::json;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;
namespace fs = std::filesystem;

const std::string example =
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|";

struct Result {
  std::string out, err;
  int code = -1;
};

class Flowdarts : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string read(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  static void write(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }

  /// No argument may hold a single quote.
  [[nodiscard]] Result run(const std::vector<std::string>& arguments) const {
    std::ostringstream command;
    command << program_;
    for (const std::string& argument : arguments) command << " '" << argument << "'";
    const fs::path out = folder_ / "stdout", err = folder_ / "stderr";
    command << " >" << out << " 2>" << err;
    const int status = std::system(command.str().c_str());
    return {read(out), read(err), WIFEXITED(status) ? WEXITSTATUS(status) : -1};
  }

  /// Bad input: nothing on stdout, one line on stderr, exit code 2.
  void expect_refused(const std::vector<std::string>& arguments, const std::string& line) const {
    const Result result = run(arguments);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "flowdarts: " + line + "\n");
  }

  fs::path folder_ = fs::temp_directory_path() / ("flowdarts_program_" + std::to_string(getpid()));
  fs::path program_ = FLOWDARTS_BIN_DIR "/flowdarts";
};

TEST_F(Flowdarts, PrintsItsVersionAndHelp) {
  const Result version = run({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.out, testing::MatchesRegex("flowdarts [0-9]+\\.[0-9]+\\.[0-9]+\n"));
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--help"},
                                                    {"query", "--help"},
                                                    {"info", "--help"},
                                                    {"list", "--help"},
                                                    {"correlate", "--help"},
                                                    {"report", "--help"},
                                                    {"data", "--help"},
                                                    {"data", "split", "--help"},
                                                    {"data", "shards", "--help"},
                                                    {"export", "--help"}}) {
    const Result help = run(arguments);
    EXPECT_EQ(help.code, 0);
    EXPECT_THAT(help.out, HasSubstr("Usage: flowdarts"));
    EXPECT_EQ(help.err, "");
  }
}

TEST_F(Flowdarts, QueryPrintsAccuraciesAndRanks) {
  const Result result = run({"query", example});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out, example + R"(

cifar10           93.6600 %   rank   258 of 15625
cifar100          70.2933 %   rank   613 of 15625
imagenet16_120    44.0333 %   rank   798 of 15625
)");
}

TEST_F(Flowdarts, QueryPrintsOneJsonObject) {
  const Result result = run({"query", "--json", example});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(json::parse(result.out), (json{{"genotype", example},
                                           {"cifar10", 93.66},
                                           {"cifar100", 70.2933},
                                           {"imagenet16_120", 44.0333},
                                           {"rank_cifar10", 258},
                                           {"rank_cifar100", 613},
                                           {"rank_imagenet16_120", 798}}));
}

TEST_F(Flowdarts, QueryReadsARunDirectoryAndAGenotypeFile) {
  write(folder_ / "run/genotype.json", R"({"space": "nas-bench-201", "genotype": ")" + example + "\"}");
  const std::string expected = run({"query", example}).out;
  EXPECT_EQ(run({"query", (folder_ / "run").string()}).out, expected);
  EXPECT_EQ(run({"query", (folder_ / "run/genotype.json").string()}).out, expected);

  const std::string file = (folder_ / "run/genotype.json").string();
  write(file, "{\"space\": \"nas-bench-201\",");
  expect_refused({"query", file}, file + ": genotype JSON: byte 27: found no valid JSON, expected an object");
  fs::remove(file);
  expect_refused({"query", (folder_ / "run").string()}, file + ": cannot open: No such file or directory");
}

TEST_F(Flowdarts, QueryTakesAnotherTable) {
  const std::string shipped = FLOWDARTS_SOURCE_DIR "/spaces/nas_bench_201/data/nas-bench-201-200ep.csv.gz";
  EXPECT_EQ(run({"query", example, "--benchmark-table", shipped}).out, run({"query", example}).out);

  const std::string file = (folder_ / "table.csv").string();
  write(file, "arch,cifar10_test,cifar100_test,imagenet16_120_test\n" + example + ",93,seventy,44\n");
  expect_refused({"query", example, "--benchmark-table", file},
                 file + ":2: cifar100_test: found \"seventy\", expected a number from 0 to 100");
  expect_refused({"query", example, "--benchmark-table", "/no/such/table"},
                 "/no/such/table: cannot open: No such file or directory");
}

TEST_F(Flowdarts, InfoCountsAndDraws) {
  const Result result = run({"info", "--space", "nas-bench-201", "--genotype", example});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("│ 0 │── nor_conv_3x3 ──▶│ 1 │── avg_pool_3x3 ──▶│ 2 │── skip_connect ──▶│ 3 │\n"));
  EXPECT_THAT(result.out, HasSubstr("C = 16, N = 5, 10 classes, images 32 x 32\n"
                                    "params              802,426\n"
                                    "MACs            113,951,360\n"
                                    "depth                    36\n"
                                    "\nCollapse no: 3 of 6 ops without parameters (skip_connect 2, avg_pool_3x3 1)\n"));
  EXPECT_THAT(result.out, HasSubstr("cifar10           93.6600 %   rank   258 of 15625\n"));
}

TEST_F(Flowdarts, InfoTakesTheGenotypeWithOrWithoutItsOption) {
  const Result result = run({"info", example});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, run({"info", "--genotype", example}).out);
  write(folder_ / "run/genotype.json", json{{"space", "nas-bench-201"}, {"genotype", example}}.dump());
  EXPECT_EQ(run({"info", (folder_ / "run").string()}).out, result.out);
}

TEST_F(Flowdarts, InfoPrintsOneJsonObject) {
  const Result result = run({"info", "--space", "nas-bench-201", "--genotype",
                             "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
                             "--channels", "4", "--cells", "1", "--json"});
  EXPECT_EQ(result.code, 0);
  const json object = json::parse(result.out);
  EXPECT_EQ(object.at("params"), 11446);
  EXPECT_EQ(object.at("macs"), 1503392);
  EXPECT_EQ(object.at("depth"), 15);
  EXPECT_EQ(object.at("collapse").at("collapsed"), false);
  EXPECT_EQ(object.at("collapse").at("counts"), (json{{"none", 1}, {"skip_connect", 1}, {"avg_pool_3x3", 1}}));
  const json other =
      json::parse(run({"info", "--genotype", example, "--classes", "120", "--image-size", "16", "--json"}).out);
  EXPECT_EQ(other.at("params"), 809576);
  EXPECT_EQ(other.at("macs"), 28495360);
}

// DARTS_V2 of the DARTS repository, in double quotes: run() puts arguments in single ones.
const std::string darts_v2 =
    "DARTS_V2 = Genotype(normal=[(\"sep_conv_3x3\", 0), (\"sep_conv_3x3\", 1), (\"sep_conv_3x3\", 0), "
    "(\"sep_conv_3x3\", 1), (\"sep_conv_3x3\", 1), (\"skip_connect\", 0), (\"skip_connect\", 0), (\"dil_conv_3x3\", "
    "2)], normal_concat=[2, 3, 4, 5], reduce=[(\"max_pool_3x3\", 0), (\"max_pool_3x3\", 1), (\"skip_connect\", 2), "
    "(\"max_pool_3x3\", 1), (\"max_pool_3x3\", 0), (\"skip_connect\", 2), (\"skip_connect\", 2), (\"max_pool_3x3\", "
    "1)], reduce_concat=[2, 3, 4, 5])";

TEST_F(Flowdarts, InfoReadsGenotypesOfTheDartsSpace) {
  const Result result = run({"info", "--genotype", darts_v2});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("Genotype(normal=[('sep_conv_3x3', 0), "));
  EXPECT_THAT(result.out, HasSubstr("3  = skip_connect  ◀──────●    │    │    │    │\n"));
  EXPECT_THAT(result.out, HasSubstr("cifar stem, C = 36, L = 20, 10 classes, images 32 x 32\n"
                                    "params            3,349,342\n"
                                    "MACs            528,359,040\n"
                                    "depth                   130\n"));
  EXPECT_THAT(result.out, EndsWith("\nCollapse no: 2 of 8 ops without parameters (skip_connect 2)\n"));
  json object =
      json::parse(run({"info", "--space", "darts", "--genotype", darts_v2, "--stem", "imagenet", "--json"}).out);
  EXPECT_EQ(object.at("params"), 4718752);
  EXPECT_EQ(object.at("macs"), 529911552);
  EXPECT_EQ(object.at("depth"), 90);
  EXPECT_EQ(object.at("auxiliary_params"), 1260776);
  // A run directory says which space it is of.
  write(folder_ / "run/genotype.json", json{{"space", "darts"}, {"genotype", object.at("genotype")}}.dump());
  object = json::parse(run({"info", "--genotype", (folder_ / "run").string(), "--classes", "100", "--json"}).out);
  EXPECT_EQ(object.at("params"), 3401272);
}

const std::string layers =
    "k3e6,k3e3,skip,skip,k5e6,k3e6,k3e6,k3e6,k5e6,k7e6,k3e6,k3e6,k3e6,k3e6,k3e6,k3e6,k3e6,k7e6,k7e6,k7e6,k7e6";

TEST_F(Flowdarts, InfoReadsGenotypesOfTheMobileNetLikeSpace) {
  const Result result = run({"info", "--genotype", layers});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith(layers + "\n\nstem        ── conv 3x3 ── MBConv1 3x3\n"));
  EXPECT_THAT(result.out, HasSubstr("widths 32,16,32,40,80,96,192,320,1280, stem of stride 2, 1000 classes, "
                                    "images 224 x 224\n"
                                    "params            4,882,184\n"
                                    "MACs            446,014,976\n"
                                    "depth                    62\n"
                                    "\nCollapse no: 2 of 21 ops without parameters (skip 2)\n"));
  write(folder_ / "run/genotype.json", json{{"space", "mobilenet"}, {"genotype", layers}}.dump());
  const json object = json::parse(
      run({"info", "--genotype", (folder_ / "run").string(), "--widths", "32,16,24,40,80,96,192,320,1280", "--json"})
          .out);
  EXPECT_EQ(object.at("params"), 4872384);
  EXPECT_EQ(object.at("macs"), 423623936);
  EXPECT_EQ(object.at("depth"), 62);
  EXPECT_EQ(object.at("timm").at(1), (json{"ir_r1_k3_s2_e6_c24", "ir_r1_k3_s1_e3_c24"}));
  EXPECT_EQ(object.at("proxyless").at(2), "Zero");
}

/// A run directory, and a table in which a cell's accuracy is the sum over its edges of 0 for `none`, 1 for
/// `skip_connect`, 2 for `nor_conv_1x1`, 3 for `nor_conv_3x3` and 1 for `avg_pool_3x3`: what is true of an edge does
/// not depend on the others.
class Correlates : public Flowdarts {
 protected:
  using Numbers = std::vector<double>;

  void SetUp() override {
    Flowdarts::SetUp();
    const char* const ops[] = {"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"};
    std::ostringstream table;
    table << "arch,cifar10_test,cifar100_test,imagenet16_120_test\n";
    for (int index = 0; index < 15625; ++index) {
      int digits[6], left = index;
      double sum = 0;
      for (int& digit : digits) {
        digit = left % 5;
        left /= 5;
        sum += truth_[static_cast<std::size_t>(digit)];
      }
      table << "|" << ops[digits[0]] << "~0|+|" << ops[digits[1]] << "~0|" << ops[digits[2]] << "~1|+|"
            << ops[digits[3]] << "~0|" << ops[digits[4]] << "~1|" << ops[digits[5]] << "~2|," << sum << "," << 20 - sum
            << "," << sum << "\n";
    }
    write(table_, table.str());
  }

  /// One matrix of an edge after the other.
  static json matrix(const std::vector<Numbers>& edges) {
    Numbers values;
    for (const Numbers& edge : edges) values.insert(values.end(), edge.begin(), edge.end());
    return json::array({json(values)});
  }
  json row(int epoch, const json& alpha, const json& importance) const {
    json op_weights = alpha;
    if (!alpha.empty()) {
      for (json& value : op_weights[0]) value = -value.get<double>();  // raw weights count by their size
    }
    return {{"epoch", epoch},           {"genotype", nothing_},     {"alpha", alpha},
            {"op_weights", op_weights}, {"importance", importance}, {"ops_left", nullptr}};
  }
  void write_rows(const std::vector<json>& rows, const std::string& space = "nas-bench-201") const {
    std::string lines;
    for (const json& one : rows) lines += one.dump() + "\n";
    write(run_ / "metrics.jsonl", lines);
    write(run_ / "genotype.json", json{{"space", space}, {"genotype", nothing_}}.dump());
  }
  [[nodiscard]] json correlate(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"correlate", run_.string(), "--table", table_.string(), "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Result result = run(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    return json::parse(result.out);
  }
  static void expect_near(const json& coefficients, double tau, double rho) {
    EXPECT_NEAR(coefficients.at("kendall_tau_b").get<double>(), tau, 1e-9);
    EXPECT_NEAR(coefficients.at("spearman_rho").get<double>(), rho, 1e-9);
  }

  const Numbers truth_{0, 1, 2, 3, 1};
  const std::string nothing_ = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|";
  const fs::path run_ = folder_ / "run", table_ = folder_ / "table.csv";
  // In the order of the truth, reversed, undecided, one pair of ten discordant and one tie apart (7 concordant pairs, 9
  // untied ones on either side; ranks less 3: -2, 1, -0.5, 2, -0.5 and -2, -0.5, 1, 2, -0.5), and twice as the first.
  const std::vector<Numbers> alpha_{truth_, {9, 8, 7, 6, 8}, {5, 5, 5, 5, 5}, {0, 2, 1, 3, 1}, truth_, truth_};
  const double tau_ = 6.0 / 9, rho_ = 7.25 / 9.5;
};

TEST_F(Correlates, EveryMeasureOnEveryEdge) {
  // Without the op, the lower the better the op; `null` stands for +infinity.
  json removal = matrix(std::vector<Numbers>(6, {0, 0.8, 0.7, 0.6, 0.8}));
  for (std::size_t edge = 0; edge < 6; ++edge) removal[0][5 * edge] = nullptr;
  write_rows({row(1, matrix(std::vector<Numbers>(6, truth_)), nullptr),
              row(2, matrix(alpha_),
                  {{"measure", "Removal"}, {"epoch", 1}, {"low_is_important", true}, {"values", removal}})});
  const json object = correlate();
  EXPECT_EQ(object.at("epoch"), 2);
  EXPECT_EQ(object.at("genotype"), nothing_);
  EXPECT_EQ(object.at("true_accuracy").at("3<-1"),
            (json{{"none", 0}, {"skip_connect", 1}, {"nor_conv_1x1", 2}, {"nor_conv_3x3", 3}, {"avg_pool_3x3", 1}}));
  ASSERT_EQ(object.at("measures").size(), 3U);
  const json& alpha = object.at("measures")[0];
  EXPECT_EQ(alpha.at("measure"), "alpha");
  EXPECT_EQ(alpha.at("epoch"), 2);
  expect_near(alpha.at("edges").at("1<-0"), 1, 1);
  expect_near(alpha.at("edges").at("2<-0"), -1, -1);
  EXPECT_TRUE(alpha.at("edges").at("2<-1").at("kendall_tau_b").is_null());
  EXPECT_TRUE(alpha.at("edges").at("2<-1").at("spearman_rho").is_null());
  expect_near(alpha.at("edges").at("3<-0"), tau_, rho_);
  expect_near(alpha.at("mean"), (2 + tau_) / 5, (2 + rho_) / 5);
  json sizes = object.at("measures")[1];
  EXPECT_EQ(sizes.at("measure"), "op_weights");
  sizes["measure"] = "alpha";
  EXPECT_EQ(sizes, alpha);
  const json& importance = object.at("measures")[2];
  EXPECT_EQ(importance.at("measure"), "Removal");
  EXPECT_EQ(importance.at("epoch"), 1);
  for (const char* part : {"mean", "all"}) expect_near(importance.at(part), 1, 1);

  EXPECT_EQ(correlate({"--epoch", "1"}).at("measures").size(), 2U);
  expect_near(correlate({"--epoch", "1"}).at("measures")[0].at("all"), 1, 1);
  expect_near(correlate({"--dataset", "cifar100"}).at("measures")[2].at("all"), -1, -1);
  expect_near(correlate({"--all-cells"}).at("measures")[0].at("mean"), (2 + tau_) / 5, (2 + rho_) / 5);
  EXPECT_EQ(
      correlate({"--all-cells"}).at("true_rank").at("2<-0"),
      (json{{"none", 1}, {"skip_connect", 2.5}, {"nor_conv_1x1", 4}, {"nor_conv_3x3", 5}, {"avg_pool_3x3", 2.5}}));
  const json curve = correlate({"--curve"});
  ASSERT_EQ(curve.size(), 2U);
  EXPECT_EQ(curve[1], object);
}

// That of all 30 ops is what SciPy makes of them.
TEST_F(Correlates, AsATable) {
  write_rows({row(1, matrix(std::vector<Numbers>(6, truth_)), nullptr), row(2, matrix(alpha_), nullptr)});
  const Result one = run({"correlate", run_.string(), "--table", table_.string()});
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(one.out, nothing_ + R"(
Epoch 2; true accuracy with each op in turn, cifar10

                         alpha            op_weights
edge             tau-b     rho         tau-b     rho  derived       best
1<-0             1.000   1.000         1.000   1.000  none          nor_conv_3x3
2<-0            -1.000  -1.000        -1.000  -1.000  none          nor_conv_3x3
2<-1                 -       -             -       -  none          nor_conv_3x3
3<-0             0.667   0.763         0.667   0.763  none          nor_conv_3x3
3<-1             1.000   1.000         1.000   1.000  none          nor_conv_3x3
3<-2             1.000   1.000         1.000   1.000  none          nor_conv_3x3
mean             0.533   0.553         0.533   0.553
all 30           0.351   0.379         0.351   0.379
)");
  EXPECT_EQ(run({"correlate", run_.string(), "--table", table_.string(), "--curve"}).out,
            R"(Means over the edges; true accuracy with each op in turn, cifar10

                         alpha            op_weights
epoch            tau-b     rho         tau-b     rho
1                1.000   1.000         1.000   1.000
2                0.533   0.553         0.533   0.553
)");
}

// Ops that were taken out are last, whatever was measured of them before.
TEST_F(Correlates, KnowsWhichOpsAreLeft) {
  json only = row(1, json::array(),
                  {{"measure", "Strength"},
                   {"epoch", 1},
                   {"low_is_important", false},
                   {"values", matrix(std::vector<Numbers>(6, {9, 9, 8, 7, 9}))}});
  only["ops_left"] = matrix(std::vector<Numbers>(6, {0, 0, 0, 1, 0}));
  write_rows({only});
  const json object = correlate();
  ASSERT_EQ(object.at("measures").size(), 1U) << "without alpha, the weights say nothing";
  // Of the nine pairs untied in truth the four with nor_conv_3x3 are untied here, all of them concordant.
  EXPECT_NEAR(object.at("measures")[0].at("mean").at("kendall_tau_b").get<double>(), 4 / std::sqrt(4.0 * 9.0), 1e-9);
}

TEST_F(Correlates, RefusesWhatIsNoSuchRun) {
  const std::string run = run_.string(), file = (run_ / "metrics.jsonl").string();
  expect_refused({"correlate", run}, run + ": found no metrics.jsonl, expected a run directory");
  const json whole = row(2, matrix(alpha_), nullptr);
  json early = whole;
  early["epoch"] = 1;
  early["genotype"] = nullptr;
  write_rows({});
  expect_refused({"correlate", run}, file + ": found no epoch, expected one at least");
  write_rows({early});
  expect_refused({"correlate", run}, file +
                                         ": epochs 1 to 1: found no importance yet and so no architecture, expected "
                                         "an epoch after a measurement");
  write_rows({early, whole}, "darts");
  expect_refused({"correlate", run}, run + ": found a search on the space darts, expected nas-bench-201");
  write_rows({early, whole});
  expect_refused({"correlate", run, "--epoch", "1"}, file +
                                                         ": epoch 1: found no importance yet and so no architecture, "
                                                         "expected an epoch after a measurement");
  expect_refused({"correlate", run, "--epoch", "3"}, "--epoch: found 3, expected 1 to 2");
  expect_refused({"correlate", run, "--epoch", "1", "--curve"}, "correlate: --epoch excludes --curve");
  expect_refused({"correlate", run, "--dataset", "cifar"},
                 "--dataset: found \"cifar\", expected \"cifar10\", \"cifar100\" or \"imagenet16_120\"");
  expect_refused({"correlate", run, "--table", "/no/such/table"},
                 "/no/such/table: cannot open: No such file or directory");
  const auto refuse = [&](const char* field, json value, const std::string& reason) {
    json broken = whole;
    broken[field] = std::move(value);
    write_rows({broken});
    expect_refused({"correlate", run}, file + ": epoch 2: " + reason);
  };
  refuse("genotype", "|none~0|", "architecture string, character 9: found the end of the text, expected \"+\"");
  refuse("alpha", {{1, 2}}, "\"alpha\": expected a matrix of 30 numbers");
  json holed = whole["alpha"];
  holed[0][1] = nullptr;
  refuse("alpha", holed, "\"alpha\": number 2: found null, expected a number");
  refuse("importance", {{"measure", "A"}, {"epoch", 2}}, "found no \"low_is_important\"");
  refuse("importance", {{"measure", "A"}, {"epoch", 2}, {"low_is_important", false}, {"values", holed}},
         "\"importance\": number 2: found null, expected a number");
}

TEST_F(Flowdarts, RefusesBadInputInOneLine) {
  expect_refused({}, "found no command, expected one of list, query, info, correlate, report, data, export, train");
  expect_refused({"qurey", example}, "unknown command \"qurey\", the nearest known one is \"query\"");
  expect_refused({"--verison"}, "unknown option \"--verison\", the nearest known one is \"--version\"");
  expect_refused({"query"}, "query: ARCH is required");
  expect_refused({"query", example, "--jsno"}, "query: unknown option \"--jsno\", the nearest known one is \"--json\"");
  expect_refused({"query", "--benchmark=t.csv"},
                 "query: unknown option \"--benchmark=t.csv\", the nearest known one is \"--benchmark-table\"");
  expect_refused({"query", example, "more\nlines"}, "query: unexpected argument \"more\\x0alines\"");
  expect_refused({"query", "|nor_conv_3x3~1|"}, "architecture string, character 15: found \"1\", expected \"0\"");
  expect_refused(
      {"query", "lost\n"},
      "\"lost\\x0a\": found no such file and no architecture string (architecture string, character 1: found "
      "\"l\", expected \"|\")");
  expect_refused({"info", "--genotype", example, "--chanels", "8"},
                 "info: unknown option \"--chanels\", the nearest known one is \"--channels\"");
  expect_refused({"info", "--genotype", example, "--channels", "many"},
                 "info: Could not convert: --channels = many, expected a number");
  expect_refused({"info", "--genotype", example, "--channels", "0"}, "channels: found 0, expected 1 to 4096");
  expect_refused({"info", "--genotype", example, "--image-size", "30"},
                 "image size: found 30, expected 4 to 4096, a multiple of 4");
  expect_refused({"info", "--genotype", example, "--space", "nasnet"},
                 "--space: found \"nasnet\", expected \"nas-bench-201\", \"darts\" or \"mobilenet\"");
  expect_refused({"info", "--genotype", example, "--space", "darts"},
                 "genotype, line 1, character 1: found \"|\", expected \"Genotype(\" or a name and \"=\"");
  expect_refused({"info", "--genotype", example, "--stem", "imagenet"},
                 "--stem: is an option of the DARTS space, found the space nas-bench-201");
  expect_refused({"info", "--genotype", darts_v2, "--stem", "mnist"},
                 "--stem: found \"mnist\", expected \"cifar\" or \"imagenet\"");
  expect_refused({"info", "--genotype", example, "--widths", "1"},
                 "--widths: is an option of the MobileNet-like space, found the space nas-bench-201");
  expect_refused({"info", "--genotype", layers, "--cells", "5"},
                 "--cells: is an option of spaces of cells, found the space mobilenet");
  expect_refused({"info", "--genotype", layers, "--stem-stride", "3"}, "stem stride: found 3, expected 1 to 2");
  expect_refused({"info", "--genotype", layers, "--widths", "8"},
                 "--widths: widths, number 2 of 9: found \"\", expected a width from 1 to 4096 (stem, stages 0 to 6 "
                 "and head, joined by commas)");
  expect_refused({"info", "--genotype", "k3e3,k3e3,skip", "--json"},
                 "layer string, character 15, layer 3: found the end of the text, expected \",\"");
  expect_refused({"info", "--genotype", darts_v2, "--cells", "0"}, "DARTS network: cells: found 0, expected 1 to 100");
}

TEST_F(Flowdarts, ExportsTheGenotypeOfARunAsText) {
  const fs::path run_directory = folder_ / "run";
  for (const std::string& genotype : {example, darts_v2, layers}) {
    const std::string space = genotype == example ? "nas-bench-201" : genotype == layers ? "mobilenet" : "darts";
    write(run_directory / "genotype.json", json{{"space", space}, {"genotype", genotype}}.dump());
    const Result result = run({"export", run_directory.string(), "--genotype-text"});
    EXPECT_EQ(result.code, 0) << result.err;
    const std::string info = run({"info", genotype}).out;
    EXPECT_EQ(result.out, info.substr(0, info.find('\n') + 1)) << "the genotype as it is written";
    EXPECT_EQ(result.err, "");
  }
}

TEST_F(Flowdarts, RefusesExportsThatDoNotFit) {
  const std::string run = folder_.string();
  expect_refused({"export"}, "export: RUN is required");
  expect_refused({"export", run}, "export: found nothing to write, expected --onnx, --safetensors or --genotype-text");
  expect_refused({"export", run, "--onx", "f"},
                 "export: unknown option \"--onx\", the nearest known one is \"--onnx\"");
  expect_refused({"export", run, "--supernet", "--onnx", "f"}, "export: --supernet excludes --onnx");
  expect_refused({"export", run, "--supernet", "--genotype-text"}, "export: --supernet requires --safetensors");
  expect_refused({"export", run, "--fold-bn", "--safetensors", "f"}, "export: --fold-bn requires --onnx");
  expect_refused({"export", run, "--features", "--safetensors", "f"}, "export: --features requires --onnx");
  expect_refused({"export", run, "--genotype-text"},
                 (folder_ / "genotype.json").string() + ": cannot open: No such file or directory");
  expect_refused({"export", "/no/such/run", "--genotype-text"},
                 "\"/no/such/run\": found no such file or folder, expected a run directory or a checkpoint");
  write(folder_ / "short.ckpt", "no checkpoint");
  const Result result = Flowdarts::run({"export", (folder_ / "short.ckpt").string(), "--genotype-text"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, StartsWith("flowdarts: " + (folder_ / "short.ckpt").string()));
}

TEST_F(Flowdarts, SaysWhenItsOutputIsLost) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  std::ostringstream command;
  command << program_ << " query '" << example << "' >/dev/full 2>" << folder_ / "err";
  const int status = std::system(command.str().c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_EQ(read(folder_ / "err"), "flowdarts: cannot write to standard output\n");
}

/// A copy of the program in a folder of its own, as after an installation.
class MovedFlowdarts : public Flowdarts {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "bin");
    fs::copy_file(program_, folder_ / "bin/flowdarts");
    program_ = folder_ / "bin/flowdarts";
  }

  fs::path about(const std::string& program) const {
    return folder_ / "share/flowdarts/searches" / (program + ".json");
  }

  const std::string darts_ = R"({"name": "flowdarts-darts-nas-bench-201", "recipe": "darts", "space": "nas-bench-201",
     "policies": [{"role": "relaxation", "name": "Softmax"}, {"role": "bilevel", "name": "FirstOrder"}]})";
  const std::string mine_ = R"({"name": "mine", "recipe": "mine", "space": "nas-bench-201", "policies": []})";
};

TEST_F(MovedFlowdarts, StillKnowsTheTable) {
  EXPECT_THAT(run({"query", example}).out, HasSubstr("93.6600"));
}

TEST_F(MovedFlowdarts, ListsTheSearchesOfItsShareFolderByName) {
  write(about("mine"), mine_);
  write(about("flowdarts-darts-nas-bench-201"), darts_);
  EXPECT_EQ(run({"list"}).out,
            "PROGRAM                        RECIPE  SPACE          POLICIES\n"
            "flowdarts-darts-nas-bench-201  darts   nas-bench-201  Softmax, FirstOrder\n"
            "mine                           mine    nas-bench-201  \n");
  EXPECT_EQ(json::parse(run({"list", "--json"}).out), json::parse("[" + darts_ + "," + mine_ + "]"));
}

TEST_F(Flowdarts, DataSplitWritesListsThatRepeat) {
  for (int i = 0; i < 40; ++i) {
    write(folder_ / "data/cat" / (std::to_string(i) + ".jpg"), "x");
    if (i < 20) write(folder_ / "data/dog" / (std::to_string(i) + ".png"), "x");
  }
  const auto split = [&](const std::string& out, const std::string& seed) {
    return run({"data", "split", "--dataset", "folder", "--data", (folder_ / "data").string(), "--train", "0.10",
                "--val", "0.05", "--seed", seed, "--out", (folder_ / out).string()});
  };
  const Result first = split("lists", "7");
  EXPECT_EQ(first.code, 0);
  EXPECT_EQ(first.err, "");
  EXPECT_THAT(first.out, StartsWith("2 classes, 60 images: T 6, V 3\n"));
  EXPECT_EQ(read(folder_ / "lists/classes.txt"), "cat\ndog\n");
  const std::string train = read(folder_ / "lists/train.txt"), val = read(folder_ / "lists/val.txt");
  EXPECT_EQ(std::ranges::count(train, '\n'), 6);
  EXPECT_EQ(std::ranges::count(val, '\n'), 3);
  std::istringstream lines(train + val);
  std::vector<std::string> all;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(fs::exists(folder_ / "data" / line)) << line;
    all.push_back(line);
  }
  std::ranges::sort(all);
  EXPECT_EQ(std::ranges::adjacent_find(all), all.end());

  split("again", "7");
  EXPECT_EQ(read(folder_ / "again/train.txt"), train);
  split("other", "8");
  EXPECT_NE(read(folder_ / "other/train.txt"), train);
}

TEST_F(Flowdarts, DataSplitRefusesWhatItCannotDo) {
  write(folder_ / "data/cat/1.jpg", "x");
  write(folder_ / "data/cat/2.jpg", "x");
  const std::string data = (folder_ / "data").string(), lists = (folder_ / "lists").string();
  const auto arguments = [&](const std::string& kind, const std::string& train) {
    return std::vector<std::string>{"data",    "split", "--dataset", kind,  "--data", data,
                                    "--train", train,   "--val",     "0.5", "--out",  lists};
  };
  expect_refused(arguments("cifar10", "0.5"),
                 "--dataset: found \"cifar10\", expected \"folder\": lists are of image files");
  expect_refused(
      arguments("folder", "0.1"),
      "split portions 0.100000 and 0.500000 of the 2 samples of class 0 leave one part without any, expected "
      "at least one of each class in each");
  expect_refused(arguments("folder", "half"), "data split: Could not convert: --train = half, expected a number");
  EXPECT_FALSE(fs::exists(lists));
  EXPECT_EQ(run(arguments("folder", "0.5")).code, 0);
  const std::string before = read(folder_ / "lists/train.txt");
  expect_refused(arguments("folder", "0.5"),
                 "--out: found " + lists + "/classes.txt there already, expected a folder without lists");
  EXPECT_EQ(read(folder_ / "lists/train.txt"), before);
  expect_refused({"data"}, "data: found no command, expected one of split, shards");
  expect_refused({"data", "spilt"}, "data: unknown command \"spilt\", the nearest known one is \"split\"");
}

TEST_F(Flowdarts, DataShardsWritesASetInRandomOrder) {
  std::string all;
  for (int i = 0; i < 40; ++i) {
    write(folder_ / "data/cat" / (std::to_string(i) + ".JPG"), "cat" + std::to_string(i));
    if (i < 20) write(folder_ / "data/dog" / (std::to_string(i) + ".png"), "dog" + std::to_string(i));
  }
  const auto shards = [&](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"data", "shards", (folder_ / "data").string(), "--out",
                                       (folder_ / out).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  };
  const Result first = shards("set", {"--name", "pets", "--per-shard", "25", "--seed", "7"});
  EXPECT_EQ(first.code, 0);
  EXPECT_EQ(first.err, "");
  EXPECT_EQ(first.out, "2 classes, 60 images in 3 shards\nsearch them with --dataset shards --data '" +
                           (folder_ / "set/pets").string() + "-{000000..000002}.tar'\n");
  EXPECT_EQ(read(folder_ / "set/classes.txt"), "cat\ndog\n");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "set"), fs::directory_iterator()), 4);

  // As GNU tar sees them: the images one by one, each with its class.
  std::vector<std::string> images;
  std::string classes;
  for (int k = 0; k < 3; ++k) {
    const std::string tar =
        "tar -C '" + folder_.string() + "' -xf '" + (folder_ / "set/pets-00000").string() + std::to_string(k) + ".tar'";
    ASSERT_EQ(std::system(tar.c_str()), 0);
  }
  for (int i = 0; i < 60; ++i) {
    const std::string key = (i < 10 ? "00000000" : "0000000") + std::to_string(i);
    const std::string label = read(folder_ / (key + ".cls"));
    const std::string image = read(folder_ / (key + (label == "0" ? ".jpg" : ".png")));
    EXPECT_THAT(image, StartsWith(label == "0" ? "cat" : "dog")) << i;
    images.push_back(image);
    classes += label;
  }
  EXPECT_NE(classes.find("1"), std::string::npos);
  EXPECT_LT(classes.find("1"), 40U);  // the classes are mixed
  std::ranges::sort(images);
  EXPECT_EQ(std::ranges::adjacent_find(images), images.end());

  const std::string tar = read(folder_ / "set/pets-000000.tar");
  shards("again", {"--name", "pets", "--per-shard", "25", "--seed", "7"});
  EXPECT_EQ(read(folder_ / "again/pets-000000.tar"), tar);
  shards("other", {"--name", "pets", "--per-shard", "25", "--seed", "8"});
  EXPECT_NE(read(folder_ / "other/pets-000000.tar"), tar);

  // 3 images of 0.6 MiB go one by one into shards of 1 MiB.
  fs::remove_all(folder_ / "data");
  for (const char* name : {"a.png", "b.png", "c.png"}) write(folder_ / "data/big" / name, std::string(600'000, 'x'));
  write(folder_ / "lists/classes.txt", "big\n");
  write(folder_ / "lists/train.txt", "big/c.png\n");
  write(folder_ / "lists/val.txt", "big/a.png\n");
  EXPECT_THAT(shards("big", {"--shard-mib", "1"}).out, StartsWith("1 classes, 3 images in 3 shards\n"));
  EXPECT_THAT(shards("one", {}).out, StartsWith("1 classes, 3 images in 1 shards\n"));
  EXPECT_THAT(shards("listed", {"--lists", (folder_ / "lists").string()}).out, StartsWith("1 classes, 2 images in 1"));
}

TEST_F(Flowdarts, DataShardsLeavesNothingHalfDone) {
  write(folder_ / "data/cat/1.jpg", "x");
  write(folder_ / "data/cat/2.jpg", "y");
  write(folder_ / "lists/classes.txt", "cat\n");
  write(folder_ / "lists/train.txt", "cat/1.jpg\n");
  write(folder_ / "lists/val.txt", "cat/gone.jpg\n");
  const std::string data = (folder_ / "data").string(), out = (folder_ / "set").string();
  const std::vector<std::string> listed{"data",  "shards", data,          "--lists", (folder_ / "lists").string(),
                                        "--out", out,      "--per-shard", "1"};
  expect_refused(listed, data + "/cat/gone.jpg: cannot be read: No such file or directory");
  EXPECT_TRUE(fs::is_empty(out));
  const auto with = [](std::vector<std::string> arguments, const std::string& option, const std::string& value) {
    arguments.push_back(option);
    if (!value.empty()) arguments.push_back(value);
    return arguments;
  };
  const std::vector<std::string> all{"data", "shards", data, "--out", out};
  expect_refused(with(all, "--per-shard", "0"), "--per-shard: found 0, expected at least 1");
  expect_refused(with(all, "--shard-mib", "0"), "--shard-mib: found 0, expected at least 1");
  expect_refused(with(all, "--name", "a/b"), "--name: found \"a/b\", expected a file name without braces");
  EXPECT_TRUE(fs::is_empty(out));
  const Result skipped = run(with(listed, "--skip-corrupt", ""));
  EXPECT_EQ(skipped.code, 0);
  EXPECT_THAT(skipped.out, StartsWith("1 classes, 1 images in 1 shards\n"));
  EXPECT_THAT(skipped.err, HasSubstr("left out " + data + "/cat/gone.jpg"));
  expect_refused(all, "--out: found " + out + "/" + (fs::directory_iterator(out)->path().filename().string()) +
                          " there already, expected a folder without shards");
  EXPECT_EQ(std::distance(fs::directory_iterator(out), fs::directory_iterator()), 2);
}

TEST_F(MovedFlowdarts, HandsACommandOverToItsProgram) {
  const Result missing = run({"train", "--help"});
  EXPECT_EQ(missing.code, 1);
  const std::string program = (fs::canonical(folder_) / "bin/flowdarts-train").string();
  EXPECT_EQ(missing.err, "flowdarts: train: cannot run " + program + ": No such file or directory\n");

  write(program, "#!/bin/sh\necho \"$@\"\nexit 7\n");
  fs::permissions(program, fs::perms::owner_all);
  const Result result = run({"train", "--epochs", "two words"});
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.out, "--epochs two words\n");
  EXPECT_THAT(run({"--help"}).out, HasSubstr("train"));
}

TEST_F(MovedFlowdarts, ListNamesAMissingFolderOrABrokenFile) {
  const Result missing = run({"list"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("share/flowdarts/searches: found no folder of search programs"));
  EXPECT_EQ(std::ranges::count(missing.err, '\n'), 1);

  write(about("mine"), "[{]");
  expect_refused({"list"}, (fs::canonical(folder_) / "share/flowdarts/searches/mine.json").string() +
                               ": byte 3: found no valid JSON");
  write(about("mine"), R"({"name": "b"})");
  expect_refused({"list", "--json"}, "search program 1: expected name, recipe, space and policies");
}

}  // namespace
