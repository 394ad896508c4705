#pragma once
// Counter-based random numbers. A draw depends only on (seed, stream, split, epoch, sample) and its position in that
// sequence, never on a thread, a clock or what was drawn before for something else.

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>

namespace flowdarts {

/// What a random number is for. One stream each, so that switching one policy leaves the randomness of the others
/// alone. The values are part of the reproducibility contract: never renumber them.
enum class Stream : std::uint32_t {
  weight_init = 1,
  alpha_init = 2,
  split = 3,
  train_order = 4,
  val_order = 5,
  augmentation = 6,
  noise = 7,   // dropout, Gumbel, perturbations
  subset = 8,  // random subsets of samples
  tie_break = 9,
  scoring = 10,  // networks trained only to score samples (EL2N)
};

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011) keyed by
/// (seed, stream) and counting from (split, epoch, sample). A value type; copying it copies its position.
class CounterRng {
 public:
  using result_type = std::uint32_t;

  explicit constexpr CounterRng(std::uint64_t seed, Stream stream, std::uint32_t split = 0, std::uint32_t epoch = 0,
                                std::uint64_t sample = 0)
      : key_{key_of(seed, stream)},
        counter_{0U, (split << 24U) ^ epoch, static_cast<std::uint32_t>(sample),
                 static_cast<std::uint32_t>(sample >> 32U)} {}

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return 0xFFFFFFFFU; }

  /// 32 uniform bits.
  constexpr result_type operator()() {
    if (used_ == 4) {
      block_ = philox(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }

  /// 64 uniform bits.
  constexpr std::uint64_t bits64() {
    const std::uint64_t high = (*this)();
    return (high << 32U) | (*this)();
  }

  /// A uniform integer in [0, bound), without bias. `bound` must be positive.
  constexpr std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t limit = -bound % bound;  // 2^64 mod bound
    for (;;) {
      const std::uint64_t value = bits64();
      if (value >= limit) return value % bound;
    }
  }

  /// Uniform in [0, 1), 53 bits.
  constexpr double uniform() {
    const std::uint64_t high = (*this)() >> 5U;
    const std::uint64_t low = (*this)() >> 6U;
    return static_cast<double>((high << 26U) | low) * 0x1p-53;
  }

  /// Uniform in [low, high).
  constexpr double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Standard normal (Box-Muller, the cosine branch).
  double normal() {
    const double u = 1.0 - uniform();
    const double v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }

  /// Fisher-Yates. The result depends on this generator's key and position alone.
  template <class T>
  constexpr void shuffle(std::span<T> items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      const auto j = static_cast<std::size_t>(below(i));
      std::swap(items[i - 1], items[j]);
    }
  }

 private:
  using Counter = std::array<std::uint32_t, 4>;
  using Key = std::array<std::uint32_t, 2>;

  static constexpr Key key_of(std::uint64_t seed, Stream stream) {
    // splitmix64's finaliser spreads neighbouring seeds and streams over the key space.
    std::uint64_t z = seed + 0x9E3779B97F4A7C15U * (static_cast<std::uint64_t>(stream) + 1U);
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    z ^= z >> 31U;
    return {static_cast<std::uint32_t>(z), static_cast<std::uint32_t>(z >> 32U)};
  }

  static constexpr Counter philox(Counter c, Key k) {
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c[0];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * c[2];
      c = {static_cast<std::uint32_t>(p1 >> 32U) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
           static_cast<std::uint32_t>(p0 >> 32U) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
      k[0] += 0x9E3779B9U;
      k[1] += 0xBB67AE85U;
    }
    return c;
  }

  Key key_;
  Counter counter_;
  Counter block_{};
  std::size_t used_ = 4;
};

}  // namespace flowdarts
