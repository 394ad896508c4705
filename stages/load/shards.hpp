#pragma once
// WebDataset's tar shards: many JPEG and PNG files and their classes in few files, to be read from front to back.

#include <flowdarts/stages/load/dataset.hpp>
#include <memory>

namespace flowdarts {

/// The shards that config.path names (shard_index.hpp), images in the order in which they lie there. Classes are called
/// as the lines of classes.txt beside the shards say, else "0", "1", ... up to the largest that is there. Only where
/// the images are is held in memory; an image is read, exactly its bytes, when it is decoded, and at most 64 shards are
/// open at once. Throws InputError as find_shards() and index_shards(), for the first damage unless
/// config.skip_corrupt, and where no image is left; decode() also for a shard that has changed since.
[[nodiscard]] std::shared_ptr<const Dataset> open_shards(const DatasetConfig& config);

}  // namespace flowdarts
