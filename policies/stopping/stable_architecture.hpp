#pragma once

#include <cstdint>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts {

/// Ends the search once the derived architecture has stayed the same for so many epochs in a row (OStr-DARTS,
/// Algorithm 1), or after --epochs.
struct StableArchitecture {
  using role = roles::Stopping;
  static constexpr const char* name = "StableArchitecture";
  static constexpr auto provides = capabilities<tags::stops_early>;
  static constexpr auto needs = capabilities<>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options,
        (Option<std::int64_t, "C: epochs in a row that leave the architecture as it was", 10, AtLeast{1}>, unchanged));
  };

  explicit StableArchitecture(const Options& options = {}) : unchanged_(options.unchanged) {}

  /// On the DARTS space the paper lets all epochs run.
  static std::vector<Preset> presets(std::string_view space) {
    if (space != "darts") return {};
    return {{.name = "paper", .values = {{"stop-unchanged", "50"}}}};
  }

  /// Called after each epoch that has an architecture.
  bool should_stop(std::int64_t /* completed_epochs */, const std::string& genotype) {
    count_ = genotype == last_ ? count_ + 1 : 0;
    last_ = genotype;
    return count_ >= unchanged_;
  }

  template <class Writer>
  void save(Writer& writer) const {
    writer.put(count_);
    writer.put_string(last_);
  }
  template <class Reader>
  void load(Reader& reader) {
    count_ = reader.template get<std::int64_t>();
    last_ = reader.get_string();
  }

 private:
  std::int64_t unchanged_;
  std::int64_t count_ = 0;
  std::string last_;  // empty: none yet
};

}  // namespace flowdarts
