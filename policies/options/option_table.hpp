#pragma once
// Options at run time: one table built from the options structs serves the command line, TOML, --help and config.toml.

#include <filesystem>
#include <flowdarts/policies/options/preset.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flowdarts {

/// One option as a row: its TOML place is [section] name, its flag --prefix-name (--name without a prefix).
struct OptionRow {
  std::string section;
  std::string name;
  std::string flag;
  std::string help;                                                        ///< with the range and the default
  bool is_switch = false;                                                  ///< a bool: --flag, --no-flag
  bool is_text = false;                                                    ///< quoted in TOML
  std::function<void(std::string_view text, std::string_view where)> set;  ///< throws InputError naming `where`
  std::function<std::string()> get;                                        ///< the value as text
};

namespace detail {
void set_bool(bool& value, std::string_view text, std::string_view where);
void set_integer(std::int64_t& value, std::string_view text, std::string_view where);
void set_real(double& value, std::string_view text, std::string_view where);
[[noreturn]] void refuse_range(std::string_view where, std::string_view text, const std::string& range);
[[noreturn]] void refuse_choice(std::string_view where, std::string_view text, std::span<const std::string> choices);
}  // namespace detail

class OptionTable {
 public:
  /// Adds every option of `options`, which must outlive the table. Flags get "prefix-" in front when prefix is not
  /// empty.
  template <class Options>
  void add(const std::string& section, const std::string& prefix, Options& options);

  void add_preset(Preset preset) { presets_.push_back(std::move(preset)); }

  /// Reads a TOML file: every key must be known and every value in its range; [search] must name `method` and `space`
  /// where it is present. Throws InputError with the file, the line and the nearest known name.
  void read_toml(const std::filesystem::path& file, std::string_view method, std::string_view space);

  /// What the command line asked for beyond setting options.
  struct CommandLine {
    bool help = false;
    bool version = false;
    bool describe = false;
    bool dry_run = false;
    bool resume = false;
  };

  /// Applies, in this order, --preset, --config and the single options of the command line (so that the command line
  /// wins). Throws InputError; an unknown option is named together with the nearest known one.
  CommandLine read_command_line(std::span<const char* const> arguments, std::string_view method,
                                std::string_view space);

  [[nodiscard]] std::string help(std::string_view program, std::string_view method, std::string_view space) const;

  /// The complete configuration as TOML, in table order, headed by [search] method and space.
  [[nodiscard]] std::string to_toml(std::string_view method, std::string_view space) const;

  [[nodiscard]] const std::vector<OptionRow>& rows() const { return rows_; }

 private:
  void apply_preset(std::string_view name);
  OptionRow& row_of_flag(std::string_view flag, std::string_view where);

  std::vector<OptionRow> rows_;
  std::vector<Preset> presets_;
};

template <class Options>
void OptionTable::add(const std::string& section, const std::string& prefix, Options& options) {
  for_each_option(options, [&](const std::string& name, auto& option) {
    using O = std::remove_cvref_t<decltype(option)>;
    using T = typename O::value_type;
    OptionRow row;
    row.section = section;
    row.name = name;
    row.flag = prefix.empty() ? name : prefix + "-" + name;
    row.is_switch = std::is_same_v<T, bool>;
    row.is_text = std::is_same_v<T, std::string> || NamedEnum<T>;
    auto* value = &option.value;
    if constexpr (std::is_same_v<T, std::string>) {
      row.set = [value](std::string_view text, std::string_view) { *value = std::string(text); };
      row.get = [value] { return *value; };
    } else if constexpr (std::is_same_v<T, bool>) {
      row.set = [value](std::string_view text, std::string_view where) { detail::set_bool(*value, text, where); };
      row.get = [value] { return std::string(*value ? "true" : "false"); };
    } else if constexpr (NamedEnum<T>) {
      row.set = [value](std::string_view text, std::string_view where) {
        std::vector<std::string> choices;
        for (const auto& [candidate, candidate_name] : names_of(T{})) {
          if (candidate_name == text) {
            *value = candidate;
            return;
          }
          choices.emplace_back(candidate_name);
        }
        detail::refuse_choice(where, text, choices);
      };
      row.get = [value] { return std::string(name_in_options(*value)); };
    } else {
      row.set = [value](std::string_view text, std::string_view where) {
        T parsed{};
        if constexpr (std::is_floating_point_v<T>) {
          detail::set_real(parsed, text, where);
        } else {
          static_assert(std::is_same_v<T, std::int64_t>, "options are bool, int64_t, double, text or a named enum");
          detail::set_integer(parsed, text, where);
        }
        if (!O::range.holds(static_cast<double>(parsed))) detail::refuse_range(where, text, O::range.text());
        *value = parsed;
      };
      row.get = [value] {
        if constexpr (std::is_floating_point_v<T>)
          return number_text(*value);
        else
          return std::to_string(*value);
      };
    }
    row.help = std::string(O::help);
    std::vector<std::string> notes;
    if constexpr (NamedEnum<T>) {
      std::string choices;
      for (const auto& [candidate, candidate_name] : names_of(T{})) {
        if (!choices.empty()) choices += '|';
        choices += candidate_name;
      }
      notes.push_back(choices);
    }
    if (const std::string range = O::range.text(); !range.empty()) notes.push_back(range);
    if (const std::string initial = row.get(); !initial.empty()) notes.push_back("default " + initial);
    for (std::size_t i = 0; i < notes.size(); ++i) row.help += (i == 0 ? " (" : ", ") + notes[i];
    if (!notes.empty()) row.help += ")";
    rows_.push_back(std::move(row));
  });
}

}  // namespace flowdarts
