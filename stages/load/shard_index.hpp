#pragma once
// Where the images of WebDataset's tar shards lie, found once and kept in a file.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace flowdarts {

/// A tar file as it was when it was indexed.
struct Shard {
  std::filesystem::path file;
  std::uint64_t bytes = 0;
  std::int64_t modified = 0;  ///< nanoseconds since 1970
};

/// The images of a set of shards, shard after shard in the order of their offsets: 16 bytes each.
struct ShardIndex {
  std::vector<Shard> shards;
  std::vector<std::int64_t> begins;    ///< those of shard k are begins[k] .. begins[k + 1] - 1
  std::vector<std::uint64_t> offsets;  ///< of each image's first byte in its shard
  std::vector<std::uint32_t> lengths;  ///< bytes of each image's file
  std::vector<std::int32_t> labels;
  std::vector<std::string> damage;  ///< a line for each thing left out
};

/// Classes are numbered below this where no classes.txt says how many there are.
inline constexpr std::int64_t max_shard_classes = 65536;

/// The shards that `data` names: a folder's files *.tar in the order of their names, a file, or a pattern with one
/// range of numbers, DIR/train-{000000..000146}.tar. Throws InputError for a folder without any, for a pattern it
/// cannot read, and for a file that is missing or not regular.
[[nodiscard]] std::vector<Shard> find_shards(const std::filesystem::path& data);

/// Reads the headers of all shards, several at once. A sample is a run of members with the same name up to the first
/// dot behind the last slash: one image (.jpg, .jpeg or .png in any case) and its class (.cls, a decimal number below
/// `classes`, or below max_shard_classes if that is 0); other members are ignored. In `damage`, and left out: samples
/// without one of the two or with one twice, classes that are no such number, names that come twice in a shard, sparse
/// members, links, images over max_image_file_bytes, and what a truncated or damaged shard cuts off. Throws InputError
/// for a file that is no tar file (a compressed one is none) or cannot be read.
[[nodiscard]] ShardIndex index_shards(std::vector<Shard> shards, std::int64_t classes);

/// index_shards(find_shards(data), classes), from an index file where there is one of the same shards, sizes and times
/// of modification, and of as many classes; else such a file is written: beside the shards, NAME.index, or where that
/// is not allowed below $XDG_CACHE_HOME/flowdarts (~/.cache/flowdarts), or nowhere. A damaged index file counts as
/// none. Any number of processes may do this at once.
[[nodiscard]] ShardIndex open_shard_index(const std::filesystem::path& data, std::int64_t classes);

/// The places of the index file of `data`, the first choice first.
[[nodiscard]] std::vector<std::filesystem::path> shard_index_files(const std::filesystem::path& data);

}  // namespace flowdarts
