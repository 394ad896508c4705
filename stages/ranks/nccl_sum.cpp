#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include <cstring>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/ranks/nccl_sum.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace flowdarts {
namespace {

void check(ncclResult_t result, const char* what) {
  if (result != ncclSuccess) {
    throw RunError(std::string("NCCL: ") + what + ": " + ncclGetErrorString(result));
  }
}

/// The ranks of a communicator, each with this thread's current GPU.
class Nccl {
 public:
  explicit Nccl(Communicator& communicator) {
    ncclUniqueId id;
    std::vector<std::byte> own;
    if (communicator.rank() == 0) {
      check(ncclGetUniqueId(&id), "cannot make an id");
      own.resize(sizeof id);
      std::memcpy(own.data(), &id, sizeof id);
    }
    const auto of_ranks = communicator.gather(own);
    std::memcpy(&id, of_ranks.front().data(), sizeof id);
    check(ncclCommInitRank(&comm_, communicator.size(), id, communicator.rank()), "the ranks cannot meet");
  }
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;
  ~Nccl() { ncclCommDestroy(comm_); }

  void add_up(const torch::Tensor& tensor, cudaStream_t stream) const {
    ncclDataType_t type = ncclFloat;
    if (tensor.scalar_type() == torch::kDouble) {
      type = ncclDouble;
    } else if (tensor.scalar_type() != torch::kFloat) {
      throw std::invalid_argument("sum over ranks: float32 or float64 expected");
    }
    check(ncclAllReduce(tensor.data_ptr(), tensor.data_ptr(), static_cast<std::size_t>(tensor.numel()), type, ncclSum,
                        comm_, stream),
          "a sum failed");
  }

 private:
  ncclComm_t comm_ = nullptr;
};

class NcclSum final : public RankSum {
 public:
  explicit NcclSum(Communicator& communicator) : nccl_(communicator) {}
  void add_up(const torch::Tensor& tensor) const override {
    nccl_.add_up(tensor, c10::cuda::getCurrentCUDAStream().stream());
  }

 private:
  Nccl nccl_;
};

/// A stream of its own beside that of the backward pass.
class NcclSumBeside final : public SumBeside {
 public:
  explicit NcclSumBeside(Communicator& communicator)
      : nccl_(communicator), stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true)) {}

  void start(torch::Tensor tensor) override {
    ready_.record(c10::cuda::getCurrentCUDAStream());
    ready_.block(stream_);
    nccl_.add_up(tensor, stream_.stream());
    tensor.record_stream(stream_.unwrap());  // its memory is not reused before the sum is there
    done_.record(stream_);
    started_ = true;
  }

  void wait() override {
    if (started_) done_.block(c10::cuda::getCurrentCUDAStream());
    started_ = false;
  }

 private:
  Nccl nccl_;
  c10::cuda::CUDAStream stream_;
  at::cuda::CUDAEvent ready_, done_;
  bool started_ = false;
};

}  // namespace

std::shared_ptr<const RankSum> make_nccl_sum(Communicator& communicator) {
  return std::make_shared<NcclSum>(communicator);
}

std::unique_ptr<SumBeside> make_nccl_sum_beside(Communicator& communicator) {
  return std::make_unique<NcclSumBeside>(communicator);
}

}  // namespace flowdarts
