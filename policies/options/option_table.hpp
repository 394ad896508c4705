#pragma once
// Options at run time: one table built from the options structs serves the command line, TOML, --help and config.toml.

#include <filesystem>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace flowdarts {

/// A named enumeration behind plain functions.
struct ChoiceValue {
  void* value = nullptr;
  bool (*set)(void* value, std::string_view name) = nullptr;  ///< false: no such name
  std::string_view (*get)(const void* value) = nullptr;
  std::vector<std::string> (*names)() = nullptr;
};

/// What an option's type says of it, and where its value lives.
struct OptionFacts {
  std::string name;
  std::string_view help;
  std::variant<bool*, std::int64_t*, double*, std::string*, ChoiceValue> value;
  bool (*in_range)(double) = nullptr;
  std::string (*range_text)() = nullptr;
};

/// One option as a row: its TOML place is [section] name, its flag --prefix-name (--name without a prefix).
struct OptionRow {
  std::string section;
  std::string name;
  std::string flag;
  std::string help;  ///< with the range and the default
  OptionFacts facts;

  [[nodiscard]] bool is_switch() const { return std::holds_alternative<bool*>(facts.value); }  ///< --flag, --no-flag
  [[nodiscard]] bool is_text() const {                                                         ///< quoted in TOML
    return std::holds_alternative<std::string*>(facts.value) || std::holds_alternative<ChoiceValue>(facts.value);
  }
  /// Throws InputError, naming `where`, for a text that is no value of the option.
  void set(std::string_view text, std::string_view where) const;
  [[nodiscard]] std::string get() const;
};

class OptionTable {
 public:
  /// Adds every option of `options`, which must outlive the table. Flags get "prefix-" in front when prefix is not
  /// empty.
  template <class Options>
  void add(const std::string& section, const std::string& prefix, Options& options);

  /// One of a name that is there already is added to it: its values come later, so they win; its help is shown where
  /// there was none.
  void add_preset(const Preset& preset);

  /// Sets the values of a preset. Throws InputError where there is none of that name.
  void apply_preset(std::string_view name);

  // Of a search, `method` and `space` head the file as [search]; of another program's options they are empty, and there
  // is no such section.

  /// Reads a TOML file: every key must be known and every value in its range; [search] must name `method` and `space`
  /// where it is present. Throws InputError with the file, the line and the nearest known name.
  void read_toml(const std::filesystem::path& file, std::string_view method = {}, std::string_view space = {});

  /// As read_toml(), from the content of a file; `name` stands for it in messages.
  void parse_toml(std::string_view content, const std::string& name, std::string_view method = {},
                  std::string_view space = {});

  /// What the command line asked for beyond setting options.
  struct CommandLine {
    bool help = false;
    bool version = false;
    bool describe = false;
    bool dry_run = false;
    bool resume = false;
    std::string preset;  ///< empty: none
  };

  /// Applies, in this order, --preset, --config and the single options of the command line (so that the command line
  /// wins). Throws InputError; an unknown option is named together with the nearest known one.
  CommandLine read_command_line(std::span<const char* const> arguments, std::string_view method = {},
                                std::string_view space = {});

  /// `purpose`: what the program does, after its name and a colon.
  [[nodiscard]] std::string help(std::string_view program, std::string_view purpose) const;

  /// The complete configuration as TOML, in table order, headed by [search] method and space.
  [[nodiscard]] std::string to_toml(std::string_view method = {}, std::string_view space = {}) const;

  [[nodiscard]] const std::vector<OptionRow>& rows() const { return rows_; }

 private:
  void add_row(const std::string& section, const std::string& prefix, OptionFacts facts);
  OptionRow& row_of_flag(std::string_view flag, std::string_view where);

  std::vector<OptionRow> rows_;
  std::vector<Preset> presets_;
};

// Instantiated for every option of every policy: only what depends on the option's type is here.
template <class Options>
void OptionTable::add(const std::string& section, const std::string& prefix, Options& options) {
  for_each_option(options, [&](const std::string& name, auto& option) {
    using O = std::remove_cvref_t<decltype(option)>;
    using T = typename O::value_type;
    OptionFacts facts{.name = name, .help = O::help};
    facts.in_range = [](double value) { return O::range.holds(value); };
    facts.range_text = [] { return O::range.text(); };
    if constexpr (NamedEnum<T>) {
      facts.value = ChoiceValue{.value = &option.value,
                                .set =
                                    [](void* value, std::string_view text) {
                                      for (const auto& [candidate, candidate_name] : names_of(T{})) {
                                        if (candidate_name != text) continue;
                                        *static_cast<T*>(value) = candidate;
                                        return true;
                                      }
                                      return false;
                                    },
                                .get = [](const void* value) { return name_in_options(*static_cast<const T*>(value)); },
                                .names =
                                    [] {
                                      std::vector<std::string> names;
                                      for (const auto& entry : names_of(T{})) names.emplace_back(entry.second);
                                      return names;
                                    }};
    } else {
      static_assert(std::is_same_v<T, bool> || std::is_same_v<T, std::int64_t> || std::is_same_v<T, double> ||
                        std::is_same_v<T, std::string>,
                    "options are bool, int64_t, double, text or a named enum");
      facts.value = &option.value;
    }
    add_row(section, prefix, std::move(facts));
  });
}

}  // namespace flowdarts
