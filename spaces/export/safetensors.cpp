#include <bit>
#include <flowdarts/spaces/export/safetensors.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <stdexcept>

namespace flowdarts {

static_assert(std::endian::native == std::endian::little, "tensors are little endian and written as memory holds them");

std::vector<std::byte> to_safetensors(const Weights& tensors, const std::set<std::string>& counters,
                                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  const auto declare = [&](const std::string& name, const char* type, const std::vector<std::int64_t>& shape,
                           std::uint64_t size) {
    if (header.contains(name)) throw std::invalid_argument("safetensors: the name " + name + " occurs twice");
    header[name] = {{"dtype", type}, {"shape", shape}, {"data_offsets", {offset, offset + size}}};
    offset += size;
  };
  // Widest first, so that all are aligned.
  for (const std::string& name : counters) declare(name, "I64", {}, sizeof(std::int64_t));
  for (const auto& [name, tensor] : tensors) {
    const auto count =
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::uint64_t{1}, std::multiplies<std::uint64_t>());
    if (count != tensor.values.size()) {
      throw std::invalid_argument("safetensors: " + name + ": its shape has " + std::to_string(count) +
                                  " values, found " + std::to_string(tensor.values.size()));
    }
    declare(name, "F32", tensor.shape, count * sizeof(float));
  }

  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::vector<std::byte> bytes;
  bytes.reserve(sizeof(std::uint64_t) + text.size() + offset);
  const auto append = [&](std::span<const std::byte> part) { bytes.insert(bytes.end(), part.begin(), part.end()); };
  const std::uint64_t size = text.size();
  append(std::as_bytes(std::span(&size, 1)));
  append(std::as_bytes(std::span(text)));
  bytes.resize(bytes.size() + counters.size() * sizeof(std::int64_t));
  for (const auto& [name, tensor] : tensors) append(std::as_bytes(std::span(tensor.values)));
  return bytes;
}

}  // namespace flowdarts
