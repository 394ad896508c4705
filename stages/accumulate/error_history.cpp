#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/accumulate/error_history.hpp>
#include <stdexcept>
#include <string>
#include <utility>

namespace flowdarts {
namespace {

void check_ascending(std::span<const std::int64_t> ids) {
  const auto bad = std::ranges::adjacent_find(ids, std::ranges::greater_equal{});
  if (bad != ids.end()) {
    throw InputError("sample ids of an error history: found " + std::to_string(bad[1]) + " after " +
                     std::to_string(bad[0]) + ", expected strictly ascending ids");
  }
}

std::size_t position_of(std::span<const std::int64_t> ids, std::int64_t id) {
  const auto found = std::ranges::lower_bound(ids, id);
  if (found == ids.end() || *found != id) {
    throw RunError("error history: found sample " + std::to_string(id) + ", expected one of this split's " +
                   std::to_string(ids.size()) + " samples");
  }
  return static_cast<std::size_t>(found - ids.begin());
}

template <class T>
void gather(std::vector<T>& values, std::span<const std::size_t> positions) {
  for (std::size_t i = 0; i < positions.size(); ++i) values[i] = values[positions[i]];
  values.resize(positions.size());
}

}  // namespace

ErrorHistory::ErrorHistory(std::vector<std::int64_t> ids) {
  check_ascending(ids);
  state_.ids = std::move(ids);
  clear();
}

ErrorHistory::ErrorHistory(State state) : state_(std::move(state)) {
  const auto check_length = [&](std::size_t length, const char* name) {
    if (length != state_.ids.size()) {
      throw InputError(std::string("saved error history: ") + name + " has " + std::to_string(length) +
                       " entries, expected " + std::to_string(state_.ids.size()) + ", one a sample");
    }
  };
  check_length(state_.mean.size(), "mean");
  check_length(state_.m2.size(), "m2");
  check_length(state_.epochs.size(), "epochs");
  check_length(state_.epoch_sum.size(), "epoch_sum");
  check_length(state_.epoch_visits.size(), "epoch_visits");
  check_ascending(state_.ids);
}

void ErrorHistory::observe(std::span<const std::int64_t> ids, std::span<const float> errors) {
  if (ids.size() != errors.size()) throw std::invalid_argument("ErrorHistory::observe: as many errors as ids expected");
  std::vector<std::size_t> positions(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!std::isfinite(errors[i])) {
      throw RunError("error of sample " + std::to_string(ids[i]) + ": found " + std::to_string(errors[i]) +
                     ", expected a finite number");
    }
    positions[i] = position_of(state_.ids, ids[i]);
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    state_.epoch_sum[positions[i]] += static_cast<double>(errors[i]);
    ++state_.epoch_visits[positions[i]];
  }
}

void ErrorHistory::merge_epoch(const std::function<void(std::span<double>)>& add_up) {
  const std::size_t size = state_.ids.size();
  std::vector<double> values(state_.epoch_sum);
  values.insert(values.end(), state_.epoch_visits.begin(), state_.epoch_visits.end());
  add_up(values);
  std::copy_n(values.begin(), size, state_.epoch_sum.begin());
  std::transform(values.begin() + static_cast<std::ptrdiff_t>(size), values.end(), state_.epoch_visits.begin(),
                 [](double visits) { return static_cast<std::uint32_t>(visits); });
}

void ErrorHistory::forget_epoch() {
  std::ranges::fill(state_.epoch_sum, 0.0);
  std::ranges::fill(state_.epoch_visits, 0U);
}

void ErrorHistory::end_epoch() {
  for (std::size_t i = 0; i < state_.ids.size(); ++i) {
    if (state_.epoch_visits[i] == 0) continue;
    const double value = state_.epoch_sum[i] / state_.epoch_visits[i];
    const double delta = value - state_.mean[i];
    state_.mean[i] += delta / ++state_.epochs[i];
    state_.m2[i] += delta * (value - state_.mean[i]);
    state_.epoch_sum[i] = 0;
    state_.epoch_visits[i] = 0;
  }
}

VarianceOfError ErrorHistory::voe() const {
  const std::size_t size = state_.ids.size();
  VarianceOfError result{std::vector<double>(size), state_.epochs, std::vector<std::uint8_t>(size)};
  for (std::size_t i = 0; i < size; ++i) {
    result.eligible[i] = state_.epochs[i] >= 2 ? 1 : 0;
    result.variance[i] = state_.m2[i] / std::max(state_.epochs[i], 1U);
  }
  return result;
}

void ErrorHistory::clear() {
  const std::size_t size = state_.ids.size();
  state_.mean.assign(size, 0.0);
  state_.m2.assign(size, 0.0);
  state_.epochs.assign(size, 0);
  state_.epoch_sum.assign(size, 0.0);
  state_.epoch_visits.assign(size, 0);
}

void ErrorHistory::keep(std::span<const std::int64_t> kept) {
  std::vector<std::size_t> positions(kept.size());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    positions[i] = position_of(state_.ids, kept[i]);
    if (i > 0 && kept[i] <= kept[i - 1]) {
      throw RunError("error history: kept samples must ascend, found " + std::to_string(kept[i]) + " after " +
                     std::to_string(kept[i - 1]));
    }
  }
  gather(state_.ids, positions);
  gather(state_.mean, positions);
  gather(state_.m2, positions);
  gather(state_.epochs, positions);
  gather(state_.epoch_sum, positions);
  gather(state_.epoch_visits, positions);
}

}  // namespace flowdarts
