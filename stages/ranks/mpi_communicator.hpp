#pragma once

#include <mpi.h>

#include <atomic>
#include <flowdarts/stages/ranks/communicator.hpp>
#include <memory>

namespace flowdarts {

/// Over MPI. Where MPI reports an error, which a rank's death may be, it waits for the watch to end this process, and
/// throws RunError where the watch does not.
class MpiCommunicator final : public Communicator {
 public:
  /// Duplicates `parent`: collective. `calls` counts the calls of all communicators of this process.
  MpiCommunicator(MPI_Comm parent, std::shared_ptr<std::atomic<std::int64_t>> calls);
  ~MpiCommunicator() override;

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  void add_up(std::span<float> values) override;
  void add_up(std::span<double> values) override;
  [[nodiscard]] std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) override;
  [[nodiscard]] Traffic traffic() const override { return traffic_; }

 private:
  template <class T>
  void sum(std::span<T> values, MPI_Datatype type);
  void count(std::size_t bytes);

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  std::shared_ptr<std::atomic<std::int64_t>> calls_;
  Traffic traffic_;
};

}  // namespace flowdarts
