#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <flowdarts/pipeline/device_executor.hpp>
#include <flowdarts/pipeline/flow_graph.hpp>
#include <flowdarts/pipeline/reader_threads.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <mutex>
#include <new>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

namespace flowdarts {
namespace {

namespace flow = tbb::flow;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Where a batch belongs. Sequence numbers run through the whole search.
struct Ticket {
  std::size_t sequence = 0;
  std::shared_ptr<const EpochPlan> plan;
  std::int64_t step = 0;
  Split split = Split::train;
};

/// On its way from a ticket to the device: first its bytes, then its pixels.
struct LoadedBatch {
  Ticket ticket;
  BatchPlan plan;
  EncodedBatch encoded;
  Batch batch;
  std::atomic<double> read_seconds = 0;
  double decode_seconds = 0;
};

BatchPlan plan_of(const Ticket& ticket) {
  const auto step = static_cast<std::size_t>(ticket.step);
  BatchPlan plan{.split = ticket.split, .epoch = ticket.plan->epoch(), .index = ticket.step};
  if (ticket.split == Split::train) {
    plan.ids = ticket.plan->train_batches[step];
  } else {
    // A sample of V is augmented anew in every pass over V, whatever the epoch.
    plan.ids = ticket.plan->val_batches[step].ids;
    plan.epoch = ticket.plan->val_batches[step].pass;
  }
  return plan;
}

/// Batches the device is done with, so that as many may be loaded.
struct BatchesDone {
  std::int64_t count = 0;
};

using DeviceMessage = std::variant<BatchesDone, StepReport, EpochReport, Interruption>;
using FinishMessage = std::variant<std::tuple<EpochClose, PruneReport, PruneReport, EpochReport>, Interruption>;

/// The first exception of any node. Once there is one, or a stop was asked for, every node lets its messages through
/// untouched.
class Ending {
 public:
  [[nodiscard]] bool reached() const { return reached_.load(std::memory_order_acquire); }
  [[nodiscard]] bool failed() const { return failed_.load(std::memory_order_acquire); }
  void reach() { reached_.store(true, std::memory_order_release); }

  /// Runs a node's body; keeps what it throws.
  template <class Body>
  void guard(const char* node, Body&& body) {
    try {
      body();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!exception_) {
        exception_ = std::current_exception();
        node_ = node;
      }
      failed_.store(true, std::memory_order_release);
      reach();
    }
  }

  void rethrow() const {
    if (!exception_) return;
    const std::string node = "node '" + std::string(node_) + "': ";
    try {
      std::rethrow_exception(exception_);
    } catch (const InputError& error) {
      throw InputError(node + error.what());
    } catch (const std::bad_alloc&) {
      throw;  // has no text to put the node before; programs say what would need less
    } catch (const std::exception& error) {
      throw RunError(node + error.what());
    }
  }

 private:
  std::atomic<bool> reached_{false};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr exception_;
  const char* node_ = "";
};

/// The device executor's side of the graph: pairs the batches of a step, runs it, says what came of it. Used by the
/// executor's thread alone.
class DeviceSide {
 public:
  DeviceSide(const GraphBodies& bodies, Ending& ending) : bodies_(bodies), ending_(ending) {}

  /// First on the executor's thread. What it takes to get ready is no waiting.
  void start(const std::function<void()>& body) {
    ending_.guard("device executor", body);
    idle_since_ = Clock::now();
  }

  template <class Send>
  void take(LoadedBatch& loaded, Send&& send) {
    waited_ += seconds_since(idle_since_);
    read_seconds_ += loaded.read_seconds;
    load_seconds_ += loaded.decode_seconds;
    if (ending_.reached()) {
      send(BatchesDone{held_ ? 2 : 1});
      held_.reset();
    } else if (loaded.ticket.split == Split::val) {
      held_ = std::move(loaded.batch);
    } else {
      const std::int64_t batches = held_ ? 2 : 1;
      ending_.guard("device executor", [&] { run_step(loaded, send); });
      held_.reset();
      send(BatchesDone{batches});
    }
    idle_since_ = Clock::now();
  }

 private:
  template <class Send>
  void run_step(LoadedBatch& loaded, Send& send) {
    const Ticket& ticket = loaded.ticket;
    StepReport report = bodies_.step({ticket.plan, ticket.step, std::move(held_), std::move(loaded.batch)});
    report.plan = ticket.plan;
    report.step = ticket.step;
    report.waited_seconds = std::exchange(waited_, 0.0);
    report.read_seconds = std::exchange(read_seconds_, 0.0);
    report.load_seconds = std::exchange(load_seconds_, 0.0);
    send(std::move(report));
    const bool last = ticket.step + 1 == ticket.plan->steps();
    if (last) {
      const auto start = Clock::now();
      EpochReport epoch = bodies_.end_epoch(ticket.plan);
      epoch.plan = ticket.plan;
      epoch.seconds = seconds_since(start);
      if (epoch.stop) ending_.reach();
      send(std::move(epoch));
    }
    if (bodies_.stop_requested()) {
      // At an epoch's end its own checkpoint is the one to resume from.
      if (!last) send(Interruption{.plan = ticket.plan, .step = ticket.step + 1, .snapshot = bodies_.snapshot()});
      ending_.reach();
    }
  }

  const GraphBodies& bodies_;
  Ending& ending_;
  std::optional<Batch> held_;
  double waited_ = 0;
  double read_seconds_ = 0;
  double load_seconds_ = 0;
  Clock::time_point idle_since_;
};

}  // namespace

void run_flow_graph(const GraphBodies& bodies, const GraphSettings& settings, const PlanRequest& first,
                    const std::function<void()>& start_device_thread) {
  Ending ending;
  const auto run = [&] {
    flow::graph graph;
    DeviceSide device(bodies, ending);
    std::size_t next_sequence = 0;
    std::int64_t epochs_finished = first.epoch;
    std::optional<Interruption> early_interruption;

    using PlanPtr = std::shared_ptr<const EpochPlan>;
    flow::function_node<PlanRequest, PlanPtr> plan(graph, flow::serial, [&](const PlanRequest& request) {
      PlanPtr result;
      if (!ending.reached()) {
        ending.guard("plan", [&] { result = std::make_shared<const EpochPlan>(bodies.plan(request)); });
      }
      return result;
    });

    using Batches = flow::multifunction_node<PlanPtr, std::tuple<Ticket>>;
    Batches batches(graph, flow::serial, [&](const PlanPtr& epoch, Batches::output_ports_type& out) {
      if (!epoch || ending.reached()) return;
      for (std::int64_t step = epoch->request.first_step; step < epoch->steps(); ++step) {
        if (!epoch->val_batches.empty()) std::get<0>(out).try_put({next_sequence++, epoch, step, Split::val});
        std::get<0>(out).try_put({next_sequence++, epoch, step, Split::train});
      }
    });
    flow::queue_node<Ticket> tickets(graph);
    flow::limiter_node<Ticket, std::int64_t> limit_reads(graph, settings.read_ahead);

    using LoadedPtr = std::shared_ptr<LoadedBatch>;
    const auto sequence = [](const LoadedPtr& loaded) { return loaded->ticket.sequence; };
    ReaderThreads readers(bodies.read ? settings.reader_threads : 0);
    using Read = flow::async_node<Ticket, LoadedPtr>;
    Read read(graph, flow::serial, [&](const Ticket& ticket, Read::gateway_type& gateway) {
      const auto loaded = std::make_shared<LoadedBatch>();
      loaded->ticket = ticket;
      if (!ending.reached()) {
        ending.guard("read", [&] {
          loaded->plan = plan_of(ticket);
          if (bodies.share) loaded->plan = bodies.share(std::move(loaded->plan));
        });
      }
      if (!bodies.read || loaded->plan.ids.empty()) {
        gateway.try_put(loaded);
        return;
      }
      loaded->encoded.resize(loaded->plan.ids.size());
      gateway.reserve_wait();
      readers.submit({.samples = loaded->plan.ids.size(),
                      .read =
                          [&, loaded](std::size_t i) {
                            if (ending.reached()) return;
                            ending.guard("read", [&] {
                              const auto start = Clock::now();
                              loaded->encoded[i] = bodies.read(loaded->plan.ids[i]);
                              loaded->read_seconds += seconds_since(start);
                            });
                          },
                      .done =
                          [&gateway, loaded] {
                            gateway.try_put(loaded);
                            gateway.release_wait();
                          }});
    });
    // Ahead of the limit, or late reads would find it taken by batches that must wait for theirs.
    flow::sequencer_node<LoadedPtr> restore_read_order(graph, sequence);
    flow::limiter_node<LoadedPtr, std::int64_t> limit(graph, settings.prefetch);

    using Decode = flow::multifunction_node<LoadedPtr, std::tuple<LoadedPtr, std::int64_t>>;
    Decode decode(graph, static_cast<std::size_t>(settings.loader_threads),
                  [&](const LoadedPtr& loaded, Decode::output_ports_type& out) {
                    std::get<1>(out).try_put(1);
                    if (!ending.reached()) {
                      ending.guard("decode", [&] {
                        const auto start = Clock::now();
                        loaded->batch = bodies.decode(loaded->plan, std::exchange(loaded->encoded, {}));
                        loaded->decode_seconds = seconds_since(start);
                      });
                    }
                    std::get<0>(out).try_put(loaded);
                  });

    flow::sequencer_node<LoadedPtr> restore_order(graph, sequence);

    DeviceExecutor executor([&] { device.start(start_device_thread); });
    using Device = flow::async_node<LoadedPtr, DeviceMessage>;
    Device device_node(graph, flow::serial, [&](const LoadedPtr& loaded, Device::gateway_type& gateway) {
      gateway.reserve_wait();
      executor.submit([&, loaded] {
        device.take(*loaded, [&](DeviceMessage message) { gateway.try_put(std::move(message)); });
        gateway.release_wait();
      });
    });

    using Accumulate =
        flow::multifunction_node<DeviceMessage,
                                 std::tuple<std::int64_t, EpochClose, EpochReport, PlanRequest, FinishMessage>>;
    Accumulate accumulate(graph, flow::serial, [&](const DeviceMessage& message, Accumulate::output_ports_type& out) {
      if (const auto* done = std::get_if<BatchesDone>(&message)) {
        std::get<0>(out).try_put(done->count);
        return;
      }
      if (ending.failed()) return;
      ending.guard("accumulate", [&] {
        if (const auto* report = std::get_if<StepReport>(&message)) {
          bodies.accumulate(*report);
          if (report->step == report->plan->request.first_step) {
            if (const auto next = bodies.plan_ahead(*report->plan)) std::get<3>(out).try_put(*next);
          }
          if (report->step + 1 == report->plan->steps()) std::get<1>(out).try_put(bodies.close_epoch(report->plan));
        } else if (const auto* epoch = std::get_if<EpochReport>(&message)) {
          std::get<2>(out).try_put(*epoch);
        } else {
          Interruption interruption = std::get<Interruption>(message);
          bodies.interrupt(interruption);
          std::get<4>(out).try_put(FinishMessage(std::move(interruption)));
        }
      });
    });

    const auto prune_body = [&](Split split, const char* node) {
      return [&, split, node](const EpochClose& close) {
        PruneReport report;
        if (!ending.failed()) ending.guard(node, [&] { report = bodies.prune(split, close); });
        return report;
      };
    };
    flow::function_node<EpochClose, PruneReport> prune_train(graph, flow::serial,
                                                             prune_body(Split::train, "prune train"));
    flow::function_node<EpochClose, PruneReport> prune_val(graph, flow::serial, prune_body(Split::val, "prune val"));

    using Joined = std::tuple<EpochClose, PruneReport, PruneReport, EpochReport>;
    flow::join_node<Joined, flow::queueing> join(graph);
    flow::function_node<Joined, FinishMessage> joined(graph, flow::serial,
                                                      [](const Joined& parts) { return FinishMessage(parts); });

    using Finish = flow::multifunction_node<FinishMessage, std::tuple<PlanRequest>>;
    Finish finish(graph, flow::serial, [&](const FinishMessage& message, Finish::output_ports_type& out) {
      if (ending.failed()) return;
      ending.guard("finish epoch", [&] {
        if (const auto* interruption = std::get_if<Interruption>(&message)) {
          early_interruption = *interruption;
        } else {
          const auto& [close, train, val, report] = std::get<Joined>(message);
          const auto next = bodies.finish_epoch(close, {train, val}, report);
          ++epochs_finished;
          if (next) std::get<0>(out).try_put(*next);
        }
        // An epoch may still be finishing while the next is interrupted: checkpoints are written in order.
        if (early_interruption && early_interruption->plan->epoch() == epochs_finished) {
          bodies.save_interruption(*early_interruption);
          early_interruption.reset();
        }
      });
    });

    flow::make_edge(plan, batches);
    flow::make_edge(flow::output_port<0>(batches), tickets);
    flow::make_edge(tickets, limit_reads);
    flow::make_edge(limit_reads, read);
    flow::make_edge(read, restore_read_order);
    flow::make_edge(restore_read_order, limit);
    flow::make_edge(limit, decode);
    flow::make_edge(flow::output_port<0>(decode), restore_order);
    flow::make_edge(flow::output_port<1>(decode), limit_reads.decrementer());
    flow::make_edge(restore_order, device_node);
    flow::make_edge(device_node, accumulate);
    flow::make_edge(flow::output_port<0>(accumulate), limit.decrementer());
    flow::make_edge(flow::output_port<1>(accumulate), prune_train);
    flow::make_edge(flow::output_port<1>(accumulate), prune_val);
    flow::make_edge(flow::output_port<1>(accumulate), flow::input_port<0>(join));
    flow::make_edge(prune_train, flow::input_port<1>(join));
    flow::make_edge(prune_val, flow::input_port<2>(join));
    flow::make_edge(flow::output_port<2>(accumulate), flow::input_port<3>(join));
    flow::make_edge(flow::output_port<3>(accumulate), plan);
    flow::make_edge(flow::output_port<4>(accumulate), finish);
    flow::make_edge(join, joined);
    flow::make_edge(joined, finish);
    flow::make_edge(flow::output_port<0>(finish), plan);

    plan.try_put(first);
    graph.wait_for_all();
  };

  // The caller works while it waits, so the workers are one fewer than the threads that decode.
  const tbb::global_control threads(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(settings.loader_threads) + 1);
  // Two slots are for the threads that are no workers: the caller, who works while it waits, and the device executor,
  // who must never wait for a slot to hand its results over.
  tbb::task_arena arena(settings.loader_threads + 1, 2);
  arena.execute(run);
  ending.rethrow();
}

}  // namespace flowdarts
