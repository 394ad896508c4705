#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/spaces/support/error.hpp>

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

namespace flowdarts {
namespace {

void record(c10::Event& event, const torch::Device& device) {
  event.record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

class HostResults final : public DeviceResults {
 public:
  explicit HostResults(const torch::Tensor& packed) {
    if (packed.is_cpu()) {
      host_ = packed.contiguous();
      return;
    }
    host_ = torch::empty(packed.sizes(), torch::TensorOptions(torch::kFloat).pinned_memory(true));
    host_.copy_(packed, /*non_blocking=*/true);
    copied_.emplace(packed.device().type());
    record(*copied_, packed.device());
  }

  [[nodiscard]] double loss() const override { return values()[0]; }
  [[nodiscard]] std::int64_t correct() const override { return static_cast<std::int64_t>(values()[1]); }
  [[nodiscard]] std::span<const float> errors() const override { return values().subspan(2); }
  [[nodiscard]] bool pending() const { return copied_ && !copied_->query(); }

 private:
  [[nodiscard]] std::span<const float> values() const {
    if (copied_) copied_->synchronize();
    return {host_.const_data_ptr<float>(), static_cast<std::size_t>(host_.numel())};
  }

  torch::Tensor host_;
  std::optional<c10::Event> copied_;
};

class EventMark final : public DeviceMark {
 public:
  explicit EventMark(const torch::Device& device) : event_(device.type(), c10::EventFlag::BACKEND_DEFAULT) {
    record(event_, device);
  }

  [[nodiscard]] double since(const DeviceMark& before) const override {
    event_.synchronize();
    return dynamic_cast<const EventMark&>(before).event_.elapsedTime(event_) / 1000.0;
  }

 private:
  c10::Event event_;  // BACKEND_DEFAULT: with a time
};

}  // namespace

std::shared_ptr<const DeviceMark> mark_work(const torch::Device& device) {
  if (device.is_cpu()) return nullptr;
  return std::make_shared<const EventMark>(device);
}

std::shared_ptr<const DeviceResults> copy_to_host(const torch::Tensor& packed) {
  return std::make_shared<const HostResults>(packed);
}

bool is_pending(const DeviceResults& results) {
  const auto* host = dynamic_cast<const HostResults*>(&results);
  return host != nullptr && host->pending();
}

void to_channels_last(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : module.parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(torch::MemoryFormat::ChannelsLast));
  }
}

std::vector<std::byte> tensor_bytes(const std::vector<torch::Tensor>& tensors) {
  ByteWriter writer;
  writer.put(std::uint64_t{tensors.size()});
  for (const torch::Tensor& tensor : tensors) {
    const torch::Tensor host = tensor.detach().to(torch::kCPU).contiguous();
    writer.put_bytes({static_cast<const std::byte*>(host.const_data_ptr()), host.nbytes()});
  }
  return std::move(writer).take();
}

void restore_tensors(const std::vector<torch::Tensor>& tensors, std::span<const std::byte> bytes,
                     const std::string& where) {
  const torch::NoGradGuard no_grad;
  ByteReader reader(bytes, where);
  if (const auto count = reader.get<std::uint64_t>(); count != tensors.size()) {
    reader.fail("found " + std::to_string(count) + " tensors, expected " + std::to_string(tensors.size()));
  }
  for (torch::Tensor tensor : tensors) {
    const auto values = reader.get_bytes();
    if (values.size() != tensor.nbytes()) {
      reader.fail("found a tensor of " + std::to_string(values.size()) + " bytes, expected " +
                  std::to_string(tensor.nbytes()));
    }
    const torch::Tensor host =
        torch::empty(tensor.sizes(), tensor.options().device(torch::kCPU), torch::MemoryFormat::Contiguous);
    if (!values.empty()) std::memcpy(host.data_ptr(), values.data(), values.size());
    tensor.copy_(host);
  }
  reader.expect_end();
}

std::string first_non_finite(const std::vector<std::pair<std::string, torch::Tensor>>& tensors) {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_floating_point()) continue;
    const torch::Tensor flat = tensor.detach().reshape(-1);
    const torch::Tensor broken = flat.masked_select(torch::isfinite(flat).logical_not());
    if (broken.numel() > 0) {
      return name + " (" + std::to_string(broken.numel()) + " of " + std::to_string(flat.numel()) +
             " values, the first is " + std::to_string(broken[0].item<double>()) + ")";
    }
  }
  return {};
}

std::vector<std::vector<double>> to_doubles(const std::vector<torch::Tensor>& matrices) {
  std::vector<std::vector<double>> result;
  for (const torch::Tensor& matrix : matrices) {
    const torch::Tensor host = matrix.detach().to(torch::kCPU, torch::kDouble).contiguous();
    result.emplace_back(host.const_data_ptr<double>(), host.const_data_ptr<double>() + host.numel());
  }
  return result;
}

}  // namespace flowdarts
