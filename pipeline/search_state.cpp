#include <flowdarts/pipeline/search_state.hpp>

namespace flowdarts {
namespace {

void put_history(ByteWriter& writer, const std::optional<ErrorHistory>& history) {
  writer.put(history.has_value());
  if (!history) return;
  const ErrorHistory::State& state = history->state();
  writer.put_vector(state.ids);
  writer.put_vector(state.mean);
  writer.put_vector(state.m2);
  writer.put_vector(state.epochs);
  writer.put_vector(state.epoch_sum);
  writer.put_vector(state.epoch_visits);
}

std::optional<ErrorHistory> get_history(ByteReader& reader) {
  if (!reader.get<bool>()) return std::nullopt;
  ErrorHistory::State state;
  state.ids = reader.get_vector<std::int64_t>();
  state.mean = reader.get_vector<double>();
  state.m2 = reader.get_vector<double>();
  state.epochs = reader.get_vector<std::uint32_t>();
  state.epoch_sum = reader.get_vector<double>();
  state.epoch_visits = reader.get_vector<std::uint32_t>();
  return ErrorHistory(std::move(state));
}

}  // namespace

void put_state(CheckpointWriter& writer, const SearchState& state) {
  ByteWriter position;
  position.put(state.epoch);
  position.put(state.step);
  position.put(state.val_state.pass);
  position.put(state.val_state.position);
  for (const Split split : all_splits) {
    position.put(state.sums.loss[split]);
    position.put(state.sums.correct[split]);
    position.put(state.sums.samples[split]);
  }
  writer.add("position", position);
  for (const Split split : all_splits) {
    ByteWriter samples;
    samples.put_vector((*state.lists)[split]);
    put_history(samples, state.histories[split]);
    writer.add("samples " + std::string(name_of(split)), samples);
  }
}

SearchState get_state(const Checkpoint& checkpoint) {
  SearchState state;
  ByteReader position = checkpoint.section("position");
  state.epoch = position.get<std::int64_t>();
  state.step = position.get<std::int64_t>();
  state.val_state.pass = position.get<std::int64_t>();
  state.val_state.position = position.get<std::int64_t>();
  for (const Split split : all_splits) {
    state.sums.loss[split] = position.get<double>();
    state.sums.correct[split] = position.get<std::int64_t>();
    state.sums.samples[split] = position.get<std::int64_t>();
  }
  position.expect_end();
  auto lists = std::make_shared<SampleLists>();
  for (const Split split : all_splits) {
    ByteReader samples = checkpoint.section("samples " + std::string(name_of(split)));
    (*lists)[split] = samples.get_vector<std::int64_t>();
    state.histories[split] = get_history(samples);
    samples.expect_end();
  }
  state.lists = std::move(lists);
  return state;
}

void put_snapshot(CheckpointWriter& writer, const Snapshot& snapshot) {
  for (const auto& [name, bytes] : snapshot) writer.add(name, bytes);
}

}  // namespace flowdarts
