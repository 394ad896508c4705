#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/load/idx.hpp>
#include <flowdarts/stages/load/memory_dataset.hpp>
#include <flowdarts/stages/load/read_file.hpp>

namespace flowdarts {
namespace {

constexpr int stored_side = 28;
constexpr int side = 32;
constexpr int border = (side - stored_side) / 2;
constexpr std::size_t stored_bytes = stored_side * stored_side;
constexpr int classes = 10;
constexpr std::uint64_t max_bytes = std::uint64_t{1} << 30U;

constexpr Normalisation grey(float mean, float std) {
  return {{mean, mean, mean}, {std, std, std}};
}

class Inflater {
 public:
  Inflater() {
    constexpr int gzip_format = 16;
    if (inflateInit2(&stream_, MAX_WBITS + gzip_format) != Z_OK) throw RunError("zlib: out of memory");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

// All members of a gzip file. A file that ends early gives what it holds when `allow_truncated`.
std::vector<std::uint8_t> gunzip(std::span<const std::uint8_t> bytes, const std::string& name, bool allow_truncated) {
  Inflater inflater;
  z_stream& stream = inflater.stream();
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::vector<std::uint8_t> out;
  std::size_t used = 0;
  for (;;) {
    if (used == out.size()) out.resize(std::max<std::size_t>(out.size() * 2, std::size_t{1} << 16U));
    const std::size_t room = std::min<std::size_t>(out.size() - used, std::size_t{1} << 30U);
    stream.next_out = out.data() + used;
    stream.avail_out = static_cast<uInt>(room);
    const int status = inflate(&stream, Z_NO_FLUSH);
    used += room - stream.avail_out;
    if (used > max_bytes) throw InputError(name + ": more than " + std::to_string(max_bytes) + " bytes uncompressed");
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0) break;
      inflateReset(&stream);
    } else if (status == Z_BUF_ERROR || (status == Z_OK && stream.avail_in == 0 && stream.avail_out > 0)) {
      if (!allow_truncated) throw InputError(name + ": gzip data end early: the file is truncated");
      break;
    } else if (status != Z_OK) {
      const char* reason = stream.msg != nullptr ? stream.msg : zError(status);
      throw InputError(name + ": corrupt gzip data: " + reason);
    }
  }
  out.resize(used);
  return out;
}

std::uint32_t big_endian(std::span<const std::uint8_t> bytes) {
  return std::uint32_t{bytes[0]} << 24U | std::uint32_t{bytes[1]} << 16U | std::uint32_t{bytes[2]} << 8U | bytes[3];
}

// The published archives and their mirrors differ in a dot and in whether they are unpacked.
std::filesystem::path find_idx(const std::filesystem::path& directory, const std::string& stem,
                               const std::string& type) {
  for (const char* separator : {"-", "."}) {
    for (const char* suffix : {"", ".gz"}) {
      const std::filesystem::path file = directory / (stem + separator + type + suffix);
      std::error_code ignored;
      if (std::filesystem::exists(file, ignored)) return file;
    }
  }
  throw InputError(printable(directory) + ": neither " + stem + "-" + type + " nor " + stem + "-" + type + ".gz in it");
}

void expand_grey(const std::uint8_t* stored, Image& out) {
  std::memset(out.pixels.data(), 0, out.pixels.size());
  for (int y = 0; y < stored_side; ++y) {
    std::uint8_t* target = out.pixels.data() + std::size_t{3} * static_cast<std::size_t>((y + border) * side + border);
    for (int x = 0; x < stored_side; ++x, ++stored, target += 3) std::memset(target, *stored, 3);
  }
}

}  // namespace

IdxArray parse_idx(std::span<const std::uint8_t> bytes, const std::string& name, std::size_t dimensions,
                   bool allow_truncated) {
  std::vector<std::uint8_t> unpacked;
  if (bytes.size() >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B) {
    unpacked = gunzip(bytes, name, allow_truncated);
    bytes = unpacked;
  }
  const std::size_t header = 4 + 4 * dimensions;
  if (bytes.size() < header) {
    throw InputError(name + ": holds " + std::to_string(bytes.size()) + " bytes, expected an IDX header of " +
                     std::to_string(header));
  }
  constexpr std::uint32_t unsigned_bytes = 0x0800;
  const std::uint32_t magic = big_endian(bytes);
  if (magic != (unsigned_bytes | dimensions)) {
    throw InputError(name + ": IDX magic " + std::to_string(magic) + ", expected " +
                     std::to_string(unsigned_bytes | dimensions) + " (unsigned bytes, " + std::to_string(dimensions) +
                     " dimensions)");
  }
  IdxArray array;
  std::uint64_t expected = 1;
  for (std::size_t d = 0; d < dimensions; ++d) {
    const std::uint32_t size = big_endian(bytes.subspan(4 + 4 * d));
    array.sizes.push_back(size);
    expected = size == 0 || expected <= max_bytes / size ? expected * size : max_bytes + 1;
    if (expected > max_bytes)
      throw InputError(name + ": IDX sizes ask for more than " + std::to_string(max_bytes) + " bytes");
  }
  const std::span data = bytes.subspan(header);
  if (data.size() > expected || (data.size() < expected && !allow_truncated)) {
    throw InputError(name + ": holds " + std::to_string(data.size()) + " data bytes, expected " +
                     std::to_string(expected));
  }
  array.missing = expected - data.size();
  array.values.assign(data.begin(), data.end());
  return array;
}

std::shared_ptr<const Dataset> open_idx(const DatasetConfig& config) {
  const std::string stem = config.part == Part::train ? "train" : "t10k";
  const auto read = [&](const std::string& type, std::size_t dimensions, std::string& name) {
    const std::filesystem::path file = find_idx(config.path, stem + (dimensions == 3 ? "-images" : "-labels"), type);
    name = printable(file);
    return parse_idx(read_file(file, max_bytes), name, dimensions, config.skip_corrupt);
  };
  std::string images_name, labels_name;
  IdxArray images = read("idx3-ubyte", 3, images_name);
  const IdxArray labels = read("idx1-ubyte", 1, labels_name);
  if (images.sizes[1] != stored_side || images.sizes[2] != stored_side) {
    throw InputError(images_name + ": images of " + std::to_string(images.sizes[1]) + " x " +
                     std::to_string(images.sizes[2]) + ", expected 28 x 28");
  }
  if (images.sizes[0] != labels.sizes[0]) {
    throw InputError(labels_name + ": " + std::to_string(labels.sizes[0]) + " labels, expected " +
                     std::to_string(images.sizes[0]) + " as there are images");
  }

  MemoryDataset::Facts facts;
  facts.name = config.kind;
  facts.geometry = {side, true};
  facts.skip_corrupt = config.skip_corrupt;
  if (config.kind == "mnist") {
    facts.normalisation = grey(0.1307F, 0.3081F);
    facts.class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  } else {
    facts.normalisation = grey(0.2860F, 0.3530F);
    facts.class_names = {"T-shirt/top", "trouser", "pullover", "dress", "coat",
                         "sandal",      "shirt",   "sneaker",  "bag",   "ankle boot"};
  }
  const std::size_t count = std::min(images.values.size() / stored_bytes, labels.values.size());
  if (count < images.sizes[0]) {
    facts.skipped.push_back((images.missing > 0 ? images_name : labels_name) + ": truncated, " +
                            std::to_string(images.sizes[0] - count) + " of " + std::to_string(images.sizes[0]) +
                            " images are missing");
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const int label = labels.values[i];
    if (label >= classes) {
      const std::string reason =
          labels_name + ": label " + std::to_string(label) + " at index " + std::to_string(i) + ", expected 0 to 9";
      if (!config.skip_corrupt) throw InputError(reason);
      facts.skipped.push_back(reason);
      continue;
    }
    facts.labels.push_back(label);
    if (kept != i) std::copy_n(&images.values[i * stored_bytes], stored_bytes, &images.values[kept * stored_bytes]);
    ++kept;
  }
  if (kept == 0) throw InputError(images_name + ": no usable image");
  images.values.resize(kept * stored_bytes);

  Fingerprint fingerprint;
  fingerprint.add(config.kind);
  fingerprint.add(std::span(reinterpret_cast<const std::uint8_t*>(facts.labels.data()), facts.labels.size() * 4));
  fingerprint.add(images.values);
  facts.fingerprint = fingerprint.value();
  return std::make_shared<MemoryDataset>(std::move(facts), std::move(images.values), stored_bytes, expand_grey);
}

}  // namespace flowdarts
