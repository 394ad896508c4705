#pragma once
// Threads that wait for the disk, so that no thread that computes has to.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace flowdarts {

/// Reads batches in the order of their submission. All threads share the samples of a batch, so a slow read holds up
/// one thread and not the rest of its batch.
class ReaderThreads {
 public:
  /// `read` gets 0 .. samples - 1, each once and from any thread; `done` comes after the last of them. Neither may
  /// throw.
  struct Job {
    std::size_t samples = 0;
    std::function<void(std::size_t)> read;
    std::function<void()> done;
  };

  /// At least one thread, or none, for those who submit nothing. The destructor finishes what was submitted.
  explicit ReaderThreads(int threads) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
    }
  }
  ReaderThreads(const ReaderThreads&) = delete;
  ReaderThreads& operator=(const ReaderThreads&) = delete;
  ~ReaderThreads() = default;

  /// A batch has at least one sample.
  void submit(Job job) {
    {
      const std::lock_guard lock(mutex_);
      open_.push_back(std::make_shared<Batch>(std::move(job)));
    }
    changed_.notify_all();
  }

 private:
  struct Batch {
    explicit Batch(Job of) : job(std::move(of)), unread(job.samples) {}
    Job job;
    std::size_t next = 0;  // to be taken; guarded by mutex_, as is
    std::size_t unread;    // taken and not read yet, or not taken
  };

  void run(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return !open_.empty(); })) {
      const std::shared_ptr<Batch> batch = open_.front();
      const std::size_t sample = batch->next++;
      if (batch->next == batch->job.samples) open_.pop_front();
      lock.unlock();
      batch->job.read(sample);
      lock.lock();
      if (--batch->unread > 0) continue;
      lock.unlock();
      batch->job.done();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::shared_ptr<Batch>> open_;  // with samples that no thread has taken
  std::vector<std::jthread> threads_;        // last: they use the members above
};

}  // namespace flowdarts
