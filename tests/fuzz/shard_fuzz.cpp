#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/image_file.hpp>
#include <flowdarts/stages/load/shard_index.hpp>
#include <string>

// The first byte says how many classes there are (0: unknown), the rest is the tar file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::int64_t classes = *data % 4;
  const std::size_t bytes = size - 1;
  const int file = ::memfd_create("shard", MFD_CLOEXEC);
  if (file < 0 || ::write(file, data + 1, bytes) != static_cast<ssize_t>(bytes)) std::abort();
  flowdarts::ShardIndex index;
  try {
    index = flowdarts::index_shards(flowdarts::find_shards("/proc/self/fd/" + std::to_string(file)), classes);
  } catch (const flowdarts::InputError&) {
  }
  ::close(file);
  if (index.lengths.size() != index.offsets.size() || index.labels.size() != index.offsets.size()) std::abort();
  for (std::size_t i = 0; i < index.offsets.size(); ++i) {
    if (index.offsets[i] > bytes || index.lengths[i] > bytes - index.offsets[i] ||
        index.lengths[i] > flowdarts::max_image_file_bytes) {
      std::abort();
    }
    if (i > 0 && index.offsets[i] < index.offsets[i - 1] + index.lengths[i - 1]) std::abort();
    if (index.labels[i] < 0 || index.labels[i] >= (classes > 0 ? classes : flowdarts::max_shard_classes)) std::abort();
  }
  for (const std::string& line : index.damage) {
    if (line.find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
