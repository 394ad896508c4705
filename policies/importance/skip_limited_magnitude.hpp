#pragma once

#include <cstdint>
#include <flowdarts/policies/importance/magnitude.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// Magnitude, but the normal cell keeps a few skips at most: while there are more, the weakest one gives way to what is
/// then best (P-DARTS, Chen et al., ICCV 2019, section 3.3).
struct SkipLimitedMagnitude : Magnitude {
  static constexpr const char* name = "SkipLimitedMagnitude";
  static constexpr auto needs = capabilities<tags::trainable_alpha, tags::skip_limit>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(Options,
                             (Option<std::int64_t, "skips that the normal cell may keep", 2, AtLeast{0}>, skips));
  };

  explicit SkipLimitedMagnitude(const Options& options = {}) : skips_(options.skips) {}

  [[nodiscard]] std::int64_t skip_limit() const { return skips_; }

 private:
  std::int64_t skips_;
};

}  // namespace flowdarts
