#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/cifar.hpp>

// The first byte says which format and policy, the rest is the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const flowdarts::CifarFormat& format = (*data & 1U) != 0 ? flowdarts::cifar100_format : flowdarts::cifar10_format;
  flowdarts::CifarRecords records;
  try {
    flowdarts::parse_cifar({data + 1, size - 1}, "file", format, (*data & 2U) != 0, records);
  } catch (const flowdarts::InputError&) {
  }
  if (records.pixels.size() != records.labels.size() * 3072) std::abort();
  for (const std::int32_t label : records.labels) {
    if (label < 0 || label >= format.classes) std::abort();
  }
  return 0;
}
