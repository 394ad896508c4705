// The graph alone, with bodies that only count and sleep.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <flowdarts/pipeline/flow_graph.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <thread>

#include "../counting_memory.hpp"

namespace flowdarts {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

/// A search whose steps only note what they were given. Lists shrink by one id every `prune_every` epochs.
struct Fake {
  std::int64_t epochs = 6;
  std::int64_t steps = 5;
  std::int64_t prune_every = 2;
  bool with_val = true;
  bool with_files = true;
  std::chrono::microseconds read_time{0}, load_time{0}, step_time{0}, accumulate_time{0}, prune_time{0};
  std::string throw_in;       // a node's name
  std::int64_t throw_at = 7;  // its n-th call
  std::int64_t stop_after_steps = -1;

  std::vector<std::string> events;  // of the device thread
  std::vector<std::pair<std::int64_t, std::int64_t>> accumulated;
  std::vector<std::int64_t> finished;
  std::vector<std::string> saved;
  std::atomic<std::int64_t> in_flight{0}, most_in_flight{0}, steps_done{0};
  std::map<std::string, std::int64_t> calls;
  std::map<std::int64_t, std::int64_t> reads;  // of each id
  std::mutex mutex;
  std::set<std::thread::id> device_threads;

  void called(const std::string& node) {
    const std::lock_guard lock(mutex);
    if (++calls[node] == throw_at && node == throw_in) throw RunError("injected");
  }

  static void random_delay(std::chrono::microseconds time) {
    if (time.count() == 0) return;
    thread_local std::minstd_rand random{std::random_device{}()};
    std::this_thread::sleep_for(time * static_cast<int>(random() % 3));
  }

  GraphBodies bodies() {
    GraphBodies b;
    b.plan = [this](const PlanRequest& request) {
      called("plan");
      EpochPlan plan{.request = request};
      for (std::int64_t s = 0; s < steps; ++s) {
        plan.train_batches.push_back(request.lists->train);
        if (with_val) plan.val_batches.push_back({request.epoch, s, request.lists->val});
      }
      plan.val_state_after = {request.epoch + 1, 0};
      return plan;
    };
    if (with_files) {
      b.read = [this](std::int64_t sample) {
        called("read");
        random_delay(read_time);
        const std::lock_guard lock(mutex);
        ++reads[sample];
        return EncodedSample{.bytes = {static_cast<std::uint8_t>(sample)}};
      };
    }
    b.decode = [this](const BatchPlan& wanted, const EncodedBatch& encoded) {
      called("decode");
      EXPECT_EQ(encoded.size(), with_files ? wanted.ids.size() : 0U);
      for (std::size_t i = 0; i < encoded.size(); ++i) {
        EXPECT_EQ(encoded[i].bytes, std::vector{static_cast<std::uint8_t>(wanted.ids[i])});
      }
      const auto now = ++in_flight;
      for (auto most = most_in_flight.load(); now > most && !most_in_flight.compare_exchange_weak(most, now);) {
      }
      random_delay(load_time);
      Batch batch{.split = wanted.split, .epoch = wanted.epoch, .index = wanted.index, .ids = wanted.ids};
      return batch;
    };
    b.step = [this](StepInput&& input) {
      device_threads.insert(std::this_thread::get_id());
      called("device executor");
      EXPECT_EQ(input.val.has_value(), with_val);
      EXPECT_EQ(input.train.split, Split::train);
      EXPECT_EQ(input.train.index, input.step);
      EXPECT_EQ(input.train.epoch, input.plan->epoch());
      if (input.val) {
        EXPECT_EQ(input.val->split, Split::val);
        EXPECT_EQ(input.val->index, input.step);
      }
      std::this_thread::sleep_for(step_time);
      in_flight -= with_val ? 2 : 1;
      ++steps_done;
      events.push_back(std::to_string(input.plan->epoch()) + ":" + std::to_string(input.step) + "/" +
                       std::to_string(input.train.ids.size()));
      return StepReport{};
    };
    b.end_epoch = [this](const auto& plan) {
      called("end of epoch");
      events.push_back("end " + std::to_string(plan->epoch()));
      return EpochReport{};
    };
    b.snapshot = [] { return std::make_shared<const Snapshot>(); };
    b.accumulate = [this](const StepReport& report) {
      called("accumulate");
      std::this_thread::sleep_for(accumulate_time);
      accumulated.emplace_back(report.plan->epoch(), report.step);
    };
    const auto prunes = [this](std::int64_t epoch) { return (epoch + 1) % prune_every == 0 && epoch + 1 < epochs; };
    b.plan_ahead = [this, prunes](const EpochPlan& plan) -> std::optional<PlanRequest> {
      if (prunes(plan.epoch()) || plan.epoch() + 1 >= epochs) return std::nullopt;
      return PlanRequest{plan.epoch() + 1, 0, plan.request.lists, plan.val_state_after};
    };
    b.close_epoch = [prunes](const std::shared_ptr<const EpochPlan>& plan) {
      return EpochClose{.plan = plan, .prunes = prunes(plan->epoch())};
    };
    b.prune = [this](Split split, const EpochClose& close) {
      called(split == Split::train ? "prune train" : "prune val");
      std::this_thread::sleep_for(prune_time);
      PruneReport report{.pruned = close.prunes, .kept = close.plan->request.lists->operator[](split)};
      if (close.prunes) report.kept.pop_back();
      return report;
    };
    b.finish_epoch = [this](const EpochClose& close, const PerSplit<PruneReport>& pruned,
                            const EpochReport& report) -> std::optional<PlanRequest> {
      called("finish epoch");
      EXPECT_EQ(close.plan, report.plan);
      finished.push_back(close.plan->epoch());
      if (!close.prunes) return std::nullopt;
      auto lists = std::make_shared<SampleLists>(SampleLists{pruned.train.kept, pruned.val.kept});
      return PlanRequest{close.plan->epoch() + 1, 0, lists, close.plan->val_state_after};
    };
    b.interrupt = [](Interruption&) {};
    b.save_interruption = [this](const Interruption& i) {
      saved.push_back(std::to_string(i.plan->epoch()) + ":" + std::to_string(i.step));
    };
    b.stop_requested = [this] { return stop_after_steps >= 0 && steps_done >= stop_after_steps; };
    return b;
  }

  void run(int threads = 2, std::size_t prefetch = 4) {
    std::vector<std::int64_t> ids(20);
    std::iota(ids.begin(), ids.end(), 0);
    run_flow_graph(bodies(), {threads, prefetch}, {0, 0, std::make_shared<SampleLists>(SampleLists{ids, ids}), {}});
  }
};

TEST(FlowGraph, RunsEveryStepInOrderOnOneThread) {
  for (const int threads : {1, 2, 4}) {
    Fake fake;
    fake.read_time = 50us;
    fake.load_time = 300us;
    fake.run(threads);
    std::vector<std::string> expected;
    std::vector<std::int64_t> epochs;
    for (std::int64_t e = 0; e < fake.epochs; ++e) {
      const std::int64_t left = 20 - e / 2;
      for (std::int64_t s = 0; s < fake.steps; ++s) {
        expected.push_back(std::to_string(e) + ":" + std::to_string(s) + "/" + std::to_string(left));
      }
      expected.push_back("end " + std::to_string(e));
      epochs.push_back(e);
    }
    EXPECT_EQ(fake.events, expected);
    EXPECT_EQ(fake.finished, epochs);
    EXPECT_EQ(fake.accumulated.size(), 30U);
    EXPECT_TRUE(std::ranges::is_sorted(fake.accumulated));
    EXPECT_EQ(fake.device_threads.size(), 1U);
    EXPECT_NE(*fake.device_threads.begin(), std::this_thread::get_id());
  }
}

TEST(FlowGraph, WithoutAnArchStepOnlyTIsLoaded) {
  Fake fake;
  fake.with_val = false;
  fake.run();
  EXPECT_EQ(fake.calls["decode"], 30);
}

TEST(FlowGraph, HoldsNoMoreBatchesThanPrefetchAllows) {
  for (const std::size_t prefetch : {2, 3, 8}) {
    Fake fake;
    fake.step_time = 2ms;
    fake.run(4, prefetch);
    EXPECT_LE(fake.most_in_flight, static_cast<std::int64_t>(prefetch));
    EXPECT_EQ(fake.steps_done, 30);
  }
}

TEST(FlowGraph, ADataSetInMemoryIsNotRead) {
  Fake fake;
  fake.with_files = false;
  fake.run();
  EXPECT_TRUE(fake.reads.empty());
  EXPECT_EQ(fake.steps_done, 30);
}

/// Reads of which the first is slow, slower than all that read-ahead lets in.
struct BlockedRead {
  std::int64_t batches_to_wait_for;
  std::mutex mutex;
  std::condition_variable changed;
  std::set<std::int64_t> read;
  std::int64_t decoded_before = 0;
  bool arrived = false;

  EncodedSample operator()(std::int64_t sample) {
    std::unique_lock lock(mutex);
    if (sample == 0) {
      // While this one waits, all others of `batches_to_wait_for` batches of two must come, or the test never ends.
      changed.wait(lock, [this] { return static_cast<std::int64_t>(read.size()) >= 2 * batches_to_wait_for - 1; });
      arrived = true;
    }
    read.insert(sample);
    changed.notify_all();
    return {};
  }
};

TEST(FlowGraph, OneSlowReadHoldsUpNeitherItsBatchsNorLaterOnes) {
  for (const std::size_t read_ahead : {1, 2, 5}) {
    // Whatever the prefetch: a batch that came early does not take the place of the one that is late.
    for (const std::size_t prefetch : {2, 8}) {
      BlockedRead blocked{.batches_to_wait_for = static_cast<std::int64_t>(read_ahead)};
      Fake fake;
      fake.epochs = 1;
      fake.with_val = false;
      GraphBodies bodies = fake.bodies();
      bodies.plan = [](const PlanRequest& request) {
        EpochPlan plan{.request = request};
        for (std::int64_t s = 0; s < 12; ++s) plan.train_batches.push_back({2 * s, 2 * s + 1});
        return plan;
      };
      bodies.read = std::ref(blocked);
      bodies.decode = [&](const BatchPlan& wanted, const EncodedBatch&) {
        const std::lock_guard lock(blocked.mutex);
        if (!blocked.arrived) ++blocked.decoded_before;
        return Batch{.split = wanted.split, .epoch = wanted.epoch, .index = wanted.index, .ids = wanted.ids};
      };
      run_flow_graph(bodies, {.loader_threads = 2, .prefetch = prefetch, .reader_threads = 2, .read_ahead = read_ahead},
                     {0, 0, std::make_shared<SampleLists>(), {}});
      EXPECT_EQ(blocked.read.size(), 24U);
      EXPECT_EQ(blocked.decoded_before, 0) << "order";
      EXPECT_EQ(fake.steps_done, 12);
    }
  }
}

TEST(FlowGraph, HoldsNoMoreReadBatchesThanReadAheadAllows) {
  for (const int threads : {1, 3}) {
    for (const std::size_t read_ahead : {1, 2, 7}) {
      Fake fake;
      fake.epochs = 2;
      fake.step_time = 1ms;
      std::set<std::pair<Split, std::int64_t>> read;  // batches with samples that were read and not taken by a decoder
      std::size_t most = 0;
      std::mutex mutex;
      GraphBodies bodies = fake.bodies();
      bodies.plan = [](const PlanRequest& request) {
        EpochPlan plan{.request = request};
        for (std::int64_t s = 0; s < 8; ++s) {
          plan.train_batches.push_back({3 * s, 3 * s + 1, 3 * s + 2});
          plan.val_batches.push_back({request.epoch, s, {100 + 3 * s, 101 + 3 * s, 102 + 3 * s}});
        }
        return plan;
      };
      bodies.read = [&](std::int64_t sample) {
        const std::lock_guard lock(mutex);
        read.insert({sample < 100 ? Split::train : Split::val, sample % 100 / 3});
        most = std::max(most, read.size());
        return EncodedSample{.bytes = {static_cast<std::uint8_t>(sample)}};
      };
      bodies.decode = [&, decode = bodies.decode](const BatchPlan& wanted, const EncodedBatch& encoded) {
        {
          const std::lock_guard lock(mutex);
          read.erase({wanted.split, wanted.index});
        }
        return decode(wanted, encoded);
      };
      run_flow_graph(bodies, {.loader_threads = threads, .prefetch = 2, .reader_threads = 3, .read_ahead = read_ahead},
                     {0, 0, std::make_shared<SampleLists>(SampleLists{{1}, {2}}), {}});
      EXPECT_EQ(fake.steps_done, 8 * fake.epochs);
      // A decoder may have taken a batch and not said so yet.
      EXPECT_LE(most, read_ahead + static_cast<std::size_t>(threads));
    }
  }
}

TEST(FlowGraph, ReadsWhatIsKeptAndNothingElse) {
  Fake fake;
  fake.read_time = 20us;
  fake.prune_time = 1ms;
  GraphBodies bodies = fake.bodies();
  std::atomic<std::int64_t> kept = 20;
  bodies.read = [&, read = bodies.read](std::int64_t sample) {
    EXPECT_LT(sample, kept) << "was pruned";
    return read(sample);
  };
  bodies.finish_epoch = [&, finish = bodies.finish_epoch](const EpochClose& close, const PerSplit<PruneReport>& pruned,
                                                          const EpochReport& report) {
    kept = static_cast<std::int64_t>(pruned.train.kept.size());
    return finish(close, pruned, report);
  };
  std::vector<std::int64_t> ids(20);
  std::iota(ids.begin(), ids.end(), 0);
  run_flow_graph(bodies, {.loader_threads = 2, .prefetch = 4, .reader_threads = 3, .read_ahead = 4},
                 {0, 0, std::make_shared<SampleLists>(SampleLists{ids, ids}), {}});
  // Pruned are 19 after epoch 2, 18 after epoch 4; a step visits all that T and V keep.
  for (const std::int64_t id : ids) {
    const std::int64_t epochs = id == 19 ? 2 : id == 18 ? 4 : 6;
    EXPECT_EQ(fake.reads[id], epochs * fake.steps * 2) << id;
  }
}

TEST(FlowGraph, ASlowAccumulatorHoldsBackTheLoaders) {
  Fake fake;
  fake.accumulate_time = 2ms;
  fake.run(4, 4);
  EXPECT_EQ(fake.accumulated.size(), 30U);
}

TEST(FlowGraph, AnExceptionInAnyNodeEndsTheGraphAndNamesTheNode) {
  for (const std::string node : {"plan", "read", "decode", "device executor", "end of epoch", "accumulate",
                                 "prune train", "prune val", "finish epoch"}) {
    for (const std::int64_t at : {1, 3}) {
      // Empty buffers: the loaders are slow. Full buffers: the device is.
      for (const bool full : {false, true}) {
        Fake fake;
        fake.throw_in = node;
        fake.throw_at = at;
        (full ? fake.step_time : fake.load_time) = 1ms;
        if (!full) fake.read_time = 100us;
        fake.prune_time = 1ms;
        try {
          fake.run(2, 6);
          ADD_FAILURE() << node << " did not throw";
        } catch (const RunError& error) {
          const std::string shown = node == "end of epoch" ? "device executor" : node;
          EXPECT_EQ(error.what(), "node '" + shown + "': injected");
        }
      }
    }
  }
}

TEST(FlowGraph, AnInputErrorStaysOne) {
  Fake fake;
  GraphBodies bodies = fake.bodies();
  bodies.decode = [](const BatchPlan&, const EncodedBatch&) -> Batch { throw InputError("a.jpg: truncated"); };
  EXPECT_THROW(run_flow_graph(bodies, {2, 4}, {0, 0, std::make_shared<SampleLists>(SampleLists{{1}, {2}}), {}}),
               InputError);
}

TEST(FlowGraph, WhatIsThrownBeforeTheFirstStepEndsTheGraph) {
  Fake fake;
  const auto run = [&](const std::function<void()>& start) {
    run_flow_graph(fake.bodies(), {2, 4}, {0, 0, std::make_shared<SampleLists>(SampleLists{{1}, {2}}), {}}, start);
  };
  try {
    run([] { throw InputError("no such device"); });
    ADD_FAILURE() << "did not throw";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "node 'device executor': no such device");
  }
  EXPECT_THROW(run([] { throw std::bad_alloc(); }), std::bad_alloc);
  EXPECT_EQ(fake.steps_done, 0);
}

TEST(FlowGraph, AStopRequestEndsAfterItsStepAndSavesWhereToGoOn) {
  for (std::int64_t at = 1; at <= 29; ++at) {
    Fake fake;
    fake.stop_after_steps = at;
    fake.prune_time = 1ms;
    fake.read_time = 20us;
    fake.run();
    EXPECT_EQ(fake.steps_done, at);
    const std::int64_t epoch = at / 5, step = at % 5;
    if (step == 0) {
      EXPECT_TRUE(fake.saved.empty());
    } else {
      EXPECT_THAT(fake.saved, ::testing::ElementsAre(std::to_string(epoch) + ":" + std::to_string(step)));
    }
    EXPECT_EQ(static_cast<std::int64_t>(fake.finished.size()), epoch);
  }
}

TEST(FlowGraph, AStoppingPolicyEndsAfterItsEpoch) {
  Fake fake;
  GraphBodies bodies = fake.bodies();
  bodies.end_epoch = [](const auto& plan) { return EpochReport{.stop = plan->epoch() == 2}; };
  run_flow_graph(bodies, {2, 4}, {0, 0, std::make_shared<SampleLists>(SampleLists{{1, 2, 3, 4}, {5, 6, 7, 8}}), {}});
  EXPECT_EQ(fake.finished, (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(fake.steps_done, 15);
}

TEST(FlowGraph, BatchesReachTheDeviceInTheMemoryTheyWereLoadedInto) {
  testing::CountingMemory memory;
  Fake fake;
  GraphBodies bodies = fake.bodies();
  bodies.decode = [&](const BatchPlan& wanted, const EncodedBatch&) {
    return Batch{.split = wanted.split, .ids = wanted.ids, .images = BatchArray<float>(5, &memory)};
  };
  bodies.step = [&](StepInput&& input) {
    EXPECT_EQ(input.val->images.get_allocator().memory(), &memory);
    EXPECT_EQ(input.train.images.get_allocator().memory(), &memory);
    return StepReport{};
  };
  run_flow_graph(bodies, {2, 4}, {0, 0, std::make_shared<SampleLists>(SampleLists{{1, 2, 3, 4}, {5, 6, 7, 8}}), {}});
  EXPECT_EQ(memory.taken(), 2 * fake.epochs * fake.steps) << "a batch was copied on the way";
  EXPECT_EQ(memory.given_back(), memory.taken());
}

TEST(FlowGraph, AResumedEpochBeginsAtItsFirstStep) {
  Fake fake;
  run_flow_graph(fake.bodies(), {2, 4}, {4, 3, std::make_shared<SampleLists>(SampleLists{{1, 2}, {3, 4}}), {}});
  EXPECT_EQ(fake.events.front(), "4:3/2");
  EXPECT_EQ(fake.steps_done, 7);
  EXPECT_EQ(fake.finished, (std::vector<std::int64_t>{4, 5}));
}

}  // namespace
}  // namespace flowdarts
