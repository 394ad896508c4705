#pragma once
// An option is a value that carries its help text, default and range in its type. An options struct lists its options
// once, with BOOST_HANA_DEFINE_STRUCT; the command line, the TOML file, --help, validation and the recorded
// configuration are generated from that list (policies/options/option_table.hpp).
//
//   struct Options {
//     BOOST_HANA_DEFINE_STRUCT(Options,
//       (Option<std::int64_t, "epochs between two pruning events", 5, AtLeast{1}>, window),
//       (Option<double, "fraction of T removed at an event", 0.15, HalfOpen{0.0, 1.0}>, ratio_train));
//   };

#include <algorithm>
#include <array>
#include <boost/hana.hpp>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace flowdarts {

/// A string literal as a template argument.
template <std::size_t N>
struct FixedText {
  char characters[N]{};
  // NOLINTNEXTLINE(google-explicit-constructor): a literal is meant to convert.
  constexpr FixedText(const char (&text)[N]) { std::copy_n(text, N, characters); }
  [[nodiscard]] constexpr std::string_view view() const { return {characters, N - 1}; }
};

/// The shortest text that reads back as the same double.
inline std::string number_text(double value) {
  std::array<char, 32> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), end};
}

// Ranges: each says which values it holds and how --help and error messages name it.

struct Anything {
  [[nodiscard]] constexpr bool holds(double) const { return true; }
  [[nodiscard]] std::string text() const { return {}; }
};

/// value >= low
struct AtLeast {
  double low;
  [[nodiscard]] constexpr bool holds(double value) const { return value >= low; }
  [[nodiscard]] std::string text() const { return "at least " + number_text(low); }
};

/// value > low
struct Above {
  double low;
  [[nodiscard]] constexpr bool holds(double value) const { return value > low; }
  [[nodiscard]] std::string text() const { return "above " + number_text(low); }
};

/// low <= value <= high
struct Closed {
  double low, high;
  [[nodiscard]] constexpr bool holds(double value) const { return value >= low && value <= high; }
  [[nodiscard]] std::string text() const { return "from " + number_text(low) + " to " + number_text(high); }
};

/// low <= value < high
struct HalfOpen {
  double low, high;
  [[nodiscard]] constexpr bool holds(double value) const { return value >= low && value < high; }
  [[nodiscard]] std::string text() const { return "from " + number_text(low) + " to below " + number_text(high); }
};

/// low < value < high
struct Open {
  double low, high;
  [[nodiscard]] constexpr bool holds(double value) const { return value > low && value < high; }
  [[nodiscard]] std::string text() const { return "between " + number_text(low) + " and " + number_text(high); }
};

/// The names of an enumeration's values as they are written in options, found by argument-dependent lookup:
///   constexpr auto names_of(Criterion) { return std::array<std::pair<Criterion, std::string_view>, 2>{...}; }
template <class T>
concept NamedEnum = std::is_enum_v<T> && requires(T value) {
  names_of(value);
};

template <NamedEnum T>
constexpr std::string_view name_in_options(T value) {
  for (const auto& [candidate, name] : names_of(value)) {
    if (candidate == value) return name;
  }
  return "?";
}

template <class T, FixedText Help, auto Default, auto Range = Anything{}>
struct Option {
  using value_type = T;
  static constexpr std::string_view help = Help.view();
  static constexpr auto range = Range;

  T value = static_cast<T>(Default);

  // NOLINTBEGIN(google-explicit-constructor): an option reads like the value it holds.
  operator const T&() const { return value; }
  // NOLINTEND(google-explicit-constructor)
  Option& operator=(T other) {
    value = std::move(other);
    return *this;
  }
};

/// A text option; its default is a literal, which cannot be an `auto` template argument.
template <FixedText Help, FixedText Default = "">
struct TextOption {
  using value_type = std::string;
  static constexpr std::string_view help = Help.view();
  static constexpr auto range = Anything{};

  std::string value{Default.view()};

  // NOLINTNEXTLINE(google-explicit-constructor)
  operator const std::string&() const { return value; }
  TextOption& operator=(std::string other) {
    value = std::move(other);
    return *this;
  }
};

/// A policy without options.
struct NoOptions {
  BOOST_HANA_DEFINE_STRUCT(NoOptions);
};

/// "ratio_train" -> "ratio-train"
inline std::string option_name(std::string_view member) {
  std::string name(member);
  std::ranges::replace(name, '_', '-');
  return name;
}

/// Calls f(name, option) for every option of an options struct, in the order they were listed.
template <class Options, class F>
void for_each_option(Options& options, F&& f) {
  boost::hana::for_each(boost::hana::accessors<std::remove_const_t<Options>>(), [&](auto accessor) {
    f(option_name(boost::hana::first(accessor).c_str()), boost::hana::second(accessor)(options));
  });
}

}  // namespace flowdarts
