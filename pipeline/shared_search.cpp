#include <unistd.h>

#include <signal.h>
#include <algorithm>
#include <array>
#include <cstring>
#include <flowdarts/pipeline/shared_search.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/prune/shared_ranking.hpp>
#include <flowdarts/stages/ranks/share.hpp>
#include <stdexcept>
#include <thread>

namespace flowdarts {
namespace {

std::string rank_name(std::size_t rank) {
  return "rank " + std::to_string(rank);
}

int bound_cores() {
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

int part_of_host(const Ranks& ranks) {
  return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)) / ranks.local_size();
}

}  // namespace

SharedSearch::SharedSearch(std::shared_ptr<Ranks> ranks) : ranks_(std::move(ranks)) {
  if (!ranks_) throw std::invalid_argument("SharedSearch: ranks expected");
  device_ = ranks_->open();
  accumulator_ = ranks_->open();
  gradients_ = ranks_->open();
  statistics_ = ranks_->open();
}

BatchPlan SharedSearch::share_of(BatchPlan whole) const {
  if (!several() || whole.ids.empty()) return whole;
  const Share share = flowdarts::share_of(whole.ids.size(), ranks_->rank(), ranks_->size());
  if (share.everything) {
    whole.share = {1.0 / ranks_->size(), /*everywhere=*/true};
    return whole;
  }
  whole.share.part = static_cast<double>(share.size()) / static_cast<double>(whole.ids.size());
  const auto at = [&](std::size_t place) { return whole.ids.begin() + static_cast<std::ptrdiff_t>(place); };
  whole.ids = {at(share.begin), at(share.end)};
  return whole;
}

void SharedSearch::agree_on(std::span<Batch* const> batches) const {
  if (!several()) return;
  // [ranks, batches]: each rank fills in its row.
  const std::size_t width = batches.size();
  std::vector<double> counts(static_cast<std::size_t>(ranks_->size()) * width, 0.0);
  const std::size_t own = static_cast<std::size_t>(ranks_->rank()) * width;
  for (std::size_t b = 0; b < width; ++b) counts[own + b] = static_cast<double>(batches[b]->ids.size());
  device_->add_up(std::span(counts));
  for (std::size_t b = 0; b < width; ++b) {
    double total = 0, least = counts[b];
    for (std::size_t i = b; i < counts.size(); i += width) {
      total += counts[i];
      least = std::min(least, counts[i]);
    }
    if (least == 0.0) {
      batches[b]->ids.clear();
      batches[b]->crops.clear();
    } else {
      batches[b]->share.part = counts[own + b] / total;
    }
  }
}

int SharedSearch::agree_on_signal(int own) const {
  if (!several()) return own;
  std::array<float, 2> counts{own == SIGINT ? 1.0F : 0.0F, own != 0 && own != SIGINT ? 1.0F : 0.0F};
  device_->add_up(std::span(counts));
  if (counts[0] > 0) return SIGINT;
  return counts[1] > 0 ? SIGTERM : 0;
}

void SharedSearch::add_up(std::span<double> values) const {
  if (several()) device_->add_up(values);
}

std::vector<std::vector<std::byte>> SharedSearch::gather(std::span<const std::byte> own) const {
  if (several()) return device_->gather(own);
  return {{own.begin(), own.end()}};
}

std::vector<std::byte> SharedSearch::from_first(std::span<const std::byte> own) const {
  return gather(writes() ? own : std::span<const std::byte>()).front();
}

Communicator::Traffic SharedSearch::traffic() const {
  Communicator::Traffic sum;
  if (!several()) return sum;
  for (const auto& communicator : {device_, gradients_, statistics_}) {
    const Communicator::Traffic part = communicator->traffic();
    sum.messages += part.messages;
    sum.bytes += part.bytes;
  }
  return sum;
}

void SharedSearch::require_same(const Fingerprints& own, const std::string& when) const {
  if (!several()) return;
  std::vector<std::uint64_t> values;
  for (const auto& [name, value] : own) values.push_back(value);
  const auto all = gather(std::as_bytes(std::span(values)));
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    for (std::size_t i = 0; i < own.size(); ++i) {
      const std::size_t offset = i * sizeof(std::uint64_t);
      if (all[rank].size() == all[0].size() &&
          std::memcmp(all[rank].data() + offset, all[0].data() + offset, sizeof(std::uint64_t)) == 0) {
        continue;
      }
      throw RunError("the processes differ " + when + ": found another " + own[i].first + " in " + rank_name(rank) +
                     " than in rank 0, expected the same");
    }
  }
}

void SharedSearch::require_same_identity(const Identity& own) const {
  if (!several()) return;
  ByteWriter writer;
  writer.put(std::uint64_t{own.size()});
  for (const auto& [key, value] : own) {
    writer.put_string(key);
    writer.put_string(value);
  }
  const auto all = gather(writer.bytes());
  const auto read = [&](std::size_t rank) {
    ByteReader reader(all[rank], rank_name(rank));
    Identity identity(reader.get<std::uint64_t>());
    for (auto& [key, value] : identity) {
      key = reader.get_string();
      value = reader.get_string();
    }
    return identity;
  };
  const Identity first = read(0);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    flowdarts::require_same_identity(read(rank), first, rank_name(rank));
  }
}

void SharedSearch::merge(EpochSums& sums, PerSplit<std::optional<ErrorHistory>>& histories) const {
  if (!several()) return;
  std::vector<double> values;
  for (const Split split : all_splits) {
    values.insert(values.end(), {sums.loss[split], static_cast<double>(sums.correct[split]),
                                 static_cast<double>(sums.samples[split])});
  }
  accumulator_->add_up(std::span(values));
  const double* next = values.data();
  for (const Split split : all_splits) {
    sums.loss[split] = *next++;
    sums.correct[split] = static_cast<std::int64_t>(*next++);
    sums.samples[split] = static_cast<std::int64_t>(*next++);
  }
  for (const Split split : all_splits) {
    if (!histories[split]) continue;
    histories[split]->merge_epoch([this](std::span<double> observed) { accumulator_->add_up(observed); });
  }
}

std::int64_t SharedSearch::sum(std::int64_t own) const {
  if (!several()) return own;
  auto value = static_cast<double>(own);
  accumulator_->add_up(std::span(&value, 1));
  return static_cast<std::int64_t>(value);
}

std::vector<std::uint32_t> SharedSearch::rank_together(const ErrorHistory& history, SortOrder order,
                                                       Sorter sorter) const {
  const VarianceOfError voe = history.voe();
  if (!several()) return rank(voe.variance, voe.eligible, order, sorter);
  return flowdarts::rank_together(*accumulator_, voe.variance, voe.eligible, order, sorter);
}

int cores_of(const Ranks& ranks) {
  return ranks.several() ? std::max(1, std::min(bound_cores(), part_of_host(ranks))) : bound_cores();
}

std::string lack_of_cores(const Ranks& ranks) {
  if (!ranks.several() || bound_cores() >= part_of_host(ranks)) return {};
  return "this process is bound to " + std::to_string(bound_cores()) + " core(s), its part of the host's are " +
         std::to_string(part_of_host(ranks)) + ": mpirun --bind-to none, or srun --cpus-per-task, gives it them";
}

}  // namespace flowdarts
