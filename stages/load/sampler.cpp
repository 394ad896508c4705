#include <algorithm>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/sampler.hpp>
#include <string>

namespace flowdarts {

std::vector<std::int64_t> epoch_order(std::span<const std::int64_t> ids, std::uint64_t seed, Split split,
                                      std::int64_t pass) {
  std::vector<std::int64_t> order(ids.begin(), ids.end());
  const Stream stream = split == Split::train ? Stream::train_order : Stream::val_order;
  CounterRng(seed, stream, static_cast<std::uint32_t>(split), static_cast<std::uint32_t>(pass))
      .shuffle(std::span(order));
  return order;
}

PersistentIterator::PersistentIterator(std::vector<std::int64_t> ids, std::int64_t batch_size, std::uint64_t seed,
                                       Split split, State state)
    : ids_(std::move(ids)), batch_size_(batch_size), seed_(seed), split_(split), state_(state) {
  if (batch_size < 1) throw InputError("batch size " + std::to_string(batch_size) + ", expected at least 1");
  check();
  const auto size = static_cast<std::int64_t>(ids_.size());
  if (state.pass < 0 || state.position < 0 || state.position > size ||
      (state.position != size && state.position % batch_size != 0)) {
    throw InputError("iterator state (pass " + std::to_string(state.pass) + ", position " +
                     std::to_string(state.position) + ") does not fit " + std::to_string(size) + " samples of " +
                     std::string(name_of(split)) + " in batches of " + std::to_string(batch_size));
  }
  order_ = epoch_order(ids_, seed_, split_, state_.pass);
}

PersistentIterator::Draw PersistentIterator::next() {
  const auto size = static_cast<std::int64_t>(ids_.size());
  if (state_.position == size) {
    state_ = {state_.pass + 1, 0};
    order_ = epoch_order(ids_, seed_, split_, state_.pass);
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
  order_ = epoch_order(ids_, seed_, split_, state_.pass);
}

void PersistentIterator::check() const {
  if (ids_.empty()) throw InputError("no samples in " + std::string(name_of(split_)) + ", expected at least one");
}

}  // namespace flowdarts
