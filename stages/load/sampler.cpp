#include <algorithm>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/sampler.hpp>
#include <string>
#include <utility>

namespace flowdarts {

namespace {

// The ids shard after shard, in a random order of the shards that have any.
std::vector<std::int64_t> by_shard(std::span<const std::int64_t> ids, std::span<const std::int64_t> shards,
                                   CounterRng& rng) {
  std::vector<std::span<const std::int64_t>> parts;
  for (std::span<const std::int64_t> rest = ids; !rest.empty();) {
    const auto end = std::ranges::upper_bound(shards, rest.front());
    if (end == shards.begin() || end == shards.end()) {
      throw InputError("sample " + std::to_string(rest.front()) + " is in no shard, expected " +
                       std::to_string(shards.front()) + " to " + std::to_string(shards.back() - 1));
    }
    const auto size = static_cast<std::size_t>(std::ranges::lower_bound(rest, *end) - rest.begin());
    parts.push_back(rest.first(size));
    rest = rest.subspan(size);
  }
  rng.shuffle(std::span(parts));
  std::vector<std::int64_t> order;
  order.reserve(ids.size());
  for (const std::span<const std::int64_t> part : parts) order.insert(order.end(), part.begin(), part.end());
  return order;
}

// In place: the first `size` places are the buffer at first, and what leaves it goes to the front, behind what has
// left.
void mix(std::vector<std::int64_t>& order, std::size_t size, CounterRng& rng) {
  std::vector<std::int64_t> buffer(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(size));
  std::size_t left = 0;
  for (std::size_t next = size; next < order.size(); ++next) {
    const std::int64_t entering = order[next];
    order[left++] = std::exchange(buffer[rng.below(size)], entering);
  }
  rng.shuffle(std::span(buffer));
  std::ranges::copy(buffer, order.begin() + static_cast<std::ptrdiff_t>(left));
}

}  // namespace

std::vector<std::int64_t> epoch_order(std::span<const std::int64_t> ids, std::uint64_t seed, Split split,
                                      std::int64_t pass, const Locality& locality) {
  const Stream stream = split == Split::train ? Stream::train_order : Stream::val_order;
  CounterRng rng(seed, stream, static_cast<std::uint32_t>(split), static_cast<std::uint32_t>(pass));
  if (locality.shards.empty()) {
    std::vector<std::int64_t> order(ids.begin(), ids.end());
    rng.shuffle(std::span(order));
    return order;
  }
  if (locality.shuffle_buffer < 1) {
    throw InputError("shuffle buffer of " + std::to_string(locality.shuffle_buffer) + " samples, expected at least 1");
  }
  std::vector<std::int64_t> order = by_shard(ids, locality.shards, rng);
  mix(order, std::min(order.size(), static_cast<std::size_t>(locality.shuffle_buffer)), rng);
  return order;
}

PersistentIterator::PersistentIterator(std::vector<std::int64_t> ids, std::int64_t batch_size, std::uint64_t seed,
                                       Split split, State state, const Locality& locality)
    : ids_(std::move(ids)), batch_size_(batch_size), seed_(seed), split_(split), locality_(locality), state_(state) {
  if (batch_size < 1) throw InputError("batch size " + std::to_string(batch_size) + ", expected at least 1");
  check();
  const auto size = static_cast<std::int64_t>(ids_.size());
  if (state.pass < 0 || state.position < 0 || state.position > size ||
      (state.position != size && state.position % batch_size != 0)) {
    throw InputError("iterator state (pass " + std::to_string(state.pass) + ", position " +
                     std::to_string(state.position) + ") does not fit " + std::to_string(size) + " samples of " +
                     std::string(name_of(split)) + " in batches of " + std::to_string(batch_size));
  }
  order_ = epoch_order(ids_, seed_, split_, state_.pass, locality_);
}

PersistentIterator::Draw PersistentIterator::next() {
  const auto size = static_cast<std::int64_t>(ids_.size());
  if (state_.position == size) {
    state_ = {state_.pass + 1, 0};
    order_ = epoch_order(ids_, seed_, split_, state_.pass, locality_);
  }
  const auto begin = order_.begin() + state_.position;
  const std::int64_t count = std::min(batch_size_, size - state_.position);
  Draw draw{state_.pass, state_.position / batch_size_, {begin, begin + count}};
  state_.position += count;
  return draw;
}

std::int64_t PersistentIterator::batches_per_pass() const {
  return (static_cast<std::int64_t>(ids_.size()) + batch_size_ - 1) / batch_size_;
}

void PersistentIterator::reset(std::vector<std::int64_t> ids) {
  ids_ = std::move(ids);
  check();
  state_ = {state_.pass + 1, 0};
  order_ = epoch_order(ids_, seed_, split_, state_.pass, locality_);
}

void PersistentIterator::check() const {
  if (ids_.empty()) throw InputError("no samples in " + std::string(name_of(split_)) + ", expected at least one");
}

}  // namespace flowdarts
