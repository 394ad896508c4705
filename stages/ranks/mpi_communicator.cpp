#include <algorithm>
#include <array>
#include <chrono>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/ranks/mpi_communicator.hpp>
#include <limits>
#include <numeric>
#include <string>
#include <thread>

namespace flowdarts {
namespace {

// MPI counts in int; pieces of this many elements keep far below.
constexpr std::size_t most_elements = std::size_t{1} << 28U;

void check(int code) {
  if (code == MPI_SUCCESS) return;
  // Most likely a rank died. The watch of rank 0 knows which, says so and ends this process.
  std::this_thread::sleep_for(std::chrono::seconds(10));
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw RunError("MPI: " + std::string(text.data(), static_cast<std::size_t>(length)));
}

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm parent, std::shared_ptr<std::atomic<std::int64_t>> calls)
    : calls_(std::move(calls)) {
  check(MPI_Comm_dup(parent, &comm_));
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
}

MpiCommunicator::~MpiCommunicator() {
  MPI_Comm_free(&comm_);
}

void MpiCommunicator::count(std::size_t bytes) {
  ++traffic_.messages;
  traffic_.bytes += static_cast<std::int64_t>(bytes);
  calls_->fetch_add(1, std::memory_order_relaxed);
}

template <class T>
void MpiCommunicator::sum(std::span<T> values, MPI_Datatype type) {
  count(values.size_bytes());
  while (!values.empty()) {
    const std::span<T> piece = values.first(std::min(values.size(), most_elements));
    check(MPI_Allreduce(MPI_IN_PLACE, piece.data(), static_cast<int>(piece.size()), type, MPI_SUM, comm_));
    values = values.subspan(piece.size());
  }
}

void MpiCommunicator::add_up(std::span<float> values) {
  sum(values, MPI_FLOAT);
}

void MpiCommunicator::add_up(std::span<double> values) {
  sum(values, MPI_DOUBLE);
}

std::vector<std::vector<std::byte>> MpiCommunicator::gather(std::span<const std::byte> own) {
  count(own.size());
  const auto ranks = static_cast<std::size_t>(size_);
  std::vector<std::uint64_t> sizes(ranks);
  const std::uint64_t size = own.size();
  check(MPI_Allgather(&size, 1, MPI_UINT64_T, sizes.data(), 1, MPI_UINT64_T, comm_));
  const std::uint64_t total = std::reduce(sizes.begin(), sizes.end());
  if (total > static_cast<std::uint64_t>(std::numeric_limits<int>::max())) {
    throw RunError("the processes exchange " + std::to_string(total) + " bytes at once, expected less than 2 GiB");
  }
  std::vector<int> counts(sizes.begin(), sizes.end()), places(ranks);
  std::exclusive_scan(counts.begin(), counts.end(), places.begin(), 0);
  std::vector<std::byte> all(total);
  check(MPI_Allgatherv(own.data(), static_cast<int>(size), MPI_BYTE, all.data(), counts.data(), places.data(), MPI_BYTE,
                       comm_));
  std::vector<std::vector<std::byte>> by_rank;
  for (std::size_t r = 0; r < ranks; ++r) {
    const auto begin = all.begin() + places[r];
    by_rank.emplace_back(begin, begin + counts[r]);
  }
  return by_rank;
}

}  // namespace flowdarts
