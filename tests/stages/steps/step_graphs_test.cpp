// What StepGraphs runs, records and launches, with a recorder that keeps a log.

#include <gtest/gtest.h>
#include <flowdarts/stages/graph_capture/step_graphs.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {
namespace {

using Tensors = StepGraphs::Tensors;

struct Log {
  std::vector<std::string> events;
  std::vector<const void*> inputs;  // where each run of the step read
};

/// Runs the step while it records it, unlike a GPU; a launch does nothing.
class Recorder : public RecordedWork {
 public:
  explicit Recorder(std::shared_ptr<Log> log) : log_(std::move(log)) {}
  ~Recorder() override { log_->events.emplace_back("gone"); }
  void record(const std::function<void()>& work) override {
    log_->events.emplace_back("record");
    work();
  }
  void launch() override { log_->events.emplace_back("launch"); }

 private:
  std::shared_ptr<Log> log_;
};

class Graphs : public ::testing::Test {
 protected:
  using Events = std::vector<std::string>;

  /// Runs the step with one input and returns the events since the last call.
  Events run(const torch::Tensor& input) {
    graphs_.run({input}, [this](const Tensors& inputs) {
      log_->events.emplace_back("step");
      log_->inputs.push_back(inputs[0].const_data_ptr());
      input_ = inputs[0];
      return Tensors{inputs[0]};
    });
    return std::exchange(log_->events, {});
  }

  std::shared_ptr<Log> log_ = std::make_shared<Log>();
  StepGraphs graphs_{[this] { return std::make_unique<Recorder>(log_); }};
  torch::Tensor input_;  // as the step saw it last
};

TEST_F(Graphs, RunFirstThenRecordThenLaunch) {
  EXPECT_EQ(run(torch::ones({3})), (Events{"step"}));
  EXPECT_EQ(run(torch::full({3}, 2.0)), (Events{"record", "step", "launch"}));
  const torch::Tensor where = input_;
  EXPECT_TRUE(torch::equal(where, torch::full({3}, 2.0)));
  EXPECT_EQ(run(torch::full({3}, 3.0)), (Events{"launch"}));
  EXPECT_TRUE(torch::equal(where, torch::full({3}, 3.0))) << "a launch reads other inputs than its call's";
  ASSERT_EQ(log_->inputs.size(), 2U);
  EXPECT_NE(log_->inputs[0], log_->inputs[1]) << "the recording reads the memory of a batch that may go";
}

TEST_F(Graphs, KeepTheMemoryFormatOfTheInputs) {
  const torch::Tensor images = torch::randn({2, 3, 4, 4}).contiguous(torch::MemoryFormat::ChannelsLast);
  run(images);
  run(images);
  EXPECT_TRUE(input_.is_contiguous(torch::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(torch::equal(input_, images));
}

TEST_F(Graphs, RecordEachShapeTypeAndLayoutOnItsOwn) {
  const torch::Tensor square = torch::ones({4, 4});
  for (const torch::Tensor& input :
       {torch::ones({3, 4}), torch::ones({4, 2}).t(), square.to(torch::kDouble), square.slice(1, 0, 2)}) {
    SCOPED_TRACE(c10::str(input.sizes(), input.strides()));
    run(square);
    run(square);
    EXPECT_EQ(run(input), (Events{"step"}));
    EXPECT_EQ(run(input), (Events{"record", "step", "launch"}));
    graphs_.clear();
    log_->events.clear();
  }
}

TEST_F(Graphs, TakeTurnsWithoutRecordingAnew) {
  const torch::Tensor whole = torch::ones({8}), last = torch::ones({5});
  for (const torch::Tensor& input : {whole, whole, last, last}) run(input);
  for (const torch::Tensor& input : {whole, last, last, whole}) EXPECT_EQ(run(input), (Events{"launch"}));
}

TEST_F(Graphs, ForgetTheShapeUsedLongestAgo) {
  for (std::int64_t size = 1; size <= 4; ++size) {
    run(torch::ones({size}));
    run(torch::ones({size}));
  }
  EXPECT_EQ(run(torch::ones({1})), (Events{"launch"}));
  EXPECT_EQ(run(torch::ones({5})), (Events{"gone", "step"}));  // of size 2
  for (const std::int64_t size : {1, 3, 4}) EXPECT_EQ(run(torch::ones({size})), (Events{"launch"})) << size;
  EXPECT_EQ(run(torch::ones({2})), (Events{"step"}));
}

TEST_F(Graphs, RecordAnewOnceCleared) {
  run(torch::ones({3}));
  run(torch::ones({3}));
  graphs_.clear();
  EXPECT_EQ(run(torch::ones({3})), (Events{"gone", "step"}));
  EXPECT_EQ(run(torch::ones({3})), (Events{"record", "step", "launch"}));
}

TEST_F(Graphs, ThrowOnWhatAStepThrowsAndTryAgain) {
  bool fails = true;
  const auto step = [&](const Tensors& inputs) -> Tensors {
    if (fails) throw std::runtime_error("no");
    return inputs;
  };
  EXPECT_THROW(graphs_.run({torch::ones({3})}, step), std::runtime_error);
  fails = false;
  graphs_.run({torch::ones({3})}, step);
  EXPECT_TRUE(log_->events.empty()) << "recorded what had never run";
  fails = true;
  EXPECT_THROW(graphs_.run({torch::ones({3})}, step), std::runtime_error);
  fails = false;
  log_->events.clear();
  EXPECT_EQ(graphs_.run({torch::ones({3})}, step).size(), 1U);
  EXPECT_EQ(log_->events, (Events{"record", "launch"}));
}

TEST(StepGraphs, AreNotThereOnACpu) {
  EXPECT_FALSE(StepGraphs(recorders_for({torch::ones({3})})).available());
  EXPECT_FALSE(StepGraphs(recorders_for({})).available());
}

}  // namespace
}  // namespace flowdarts
