#include <toml++/toml.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <flowdarts/policies/options/option_table.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/nearest.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

namespace flowdarts {

namespace {

std::int64_t integer_of(std::string_view text, std::string_view where) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    throw InputError(std::string(where) + ": found " + quote(text) + ", expected a whole number below 2^63");
  }
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw InputError(std::string(where) + ": found " + quote(text) + ", expected a whole number");
  }
  return value;
}

double real_of(std::string_view text, std::string_view where) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) {
    throw InputError(std::string(where) + ": found " + quote(text) + ", expected a number" +
                     (error == std::errc::result_out_of_range ? " that a double can hold" : ""));
  }
  return value;
}

[[noreturn]] void refuse_choice(std::string_view where, std::string_view text, std::span<const std::string> choices) {
  std::string expected;
  for (const std::string& choice : choices) expected += (expected.empty() ? "" : ", ") + choice;
  throw InputError(std::string(where) + ": found " + quote(text) + ", expected one of " + expected);
}

std::string toml_text(std::string_view text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

std::string did_you_mean(std::string_view name, std::span<const std::string> known) {
  const auto nearest = nearest_name(name, known);
  return nearest ? "; did you mean '" + *nearest + "'?" : "";
}

std::string text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* integer = node.as_integer()) return std::to_string(integer->get());
  if (const auto* real = node.as_floating_point()) return number_text(real->get());
  return "(neither a text, a number nor a bool)";
}

std::string read_text(const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) {
    throw InputError(file.string() + ": is a folder, expected a TOML file");
  }
  std::ifstream stream(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream.is_open() || stream.bad()) {
    throw InputError(file.string() + ": cannot be read: " + std::generic_category().message(errno));
  }
  return text;
}

}  // namespace

void OptionRow::set(std::string_view text, std::string_view where) const {
  const auto check_range = [&](double number) {
    if (!facts.in_range(number)) {
      throw InputError(std::string(where) + ": found " + std::string(text) + ", expected a value " +
                       facts.range_text());
    }
  };
  if (auto* const* on = std::get_if<bool*>(&facts.value)) {
    if (text != "true" && text != "false") {
      throw InputError(std::string(where) + ": found " + quote(text) + ", expected true or false");
    }
    **on = text == "true";
  } else if (auto* const* integer = std::get_if<std::int64_t*>(&facts.value)) {
    const std::int64_t value = integer_of(text, where);
    check_range(static_cast<double>(value));
    **integer = value;
  } else if (auto* const* real = std::get_if<double*>(&facts.value)) {
    const double value = real_of(text, where);
    check_range(value);
    **real = value;
  } else if (auto* const* plain = std::get_if<std::string*>(&facts.value)) {
    **plain = std::string(text);
  } else {
    const auto& choice = std::get<ChoiceValue>(facts.value);
    if (!choice.set(choice.value, text)) refuse_choice(where, text, choice.names());
  }
}

std::string OptionRow::get() const {
  if (const auto* on = std::get_if<bool*>(&facts.value)) return **on ? "true" : "false";
  if (const auto* integer = std::get_if<std::int64_t*>(&facts.value)) return std::to_string(**integer);
  if (const auto* real = std::get_if<double*>(&facts.value)) return number_text(**real);
  if (const auto* text = std::get_if<std::string*>(&facts.value)) return **text;
  const auto& choice = std::get<ChoiceValue>(facts.value);
  return std::string(choice.get(choice.value));
}

void OptionTable::add_row(const std::string& section, const std::string& prefix, OptionFacts facts) {
  OptionRow row{.section = section, .facts = std::move(facts)};
  row.name = row.facts.name;
  row.flag = prefix.empty() ? row.name : prefix + "-" + row.name;
  std::vector<std::string> notes;
  if (const auto* choice = std::get_if<ChoiceValue>(&row.facts.value)) {
    std::string choices;
    for (const std::string& name : choice->names()) choices += (choices.empty() ? "" : "|") + name;
    notes.push_back(choices);
  }
  if (const std::string range = row.facts.range_text(); !range.empty()) notes.push_back(range);
  if (const std::string initial = row.get(); !initial.empty()) notes.push_back("default " + initial);
  row.help = std::string(row.facts.help);
  for (std::size_t i = 0; i < notes.size(); ++i) row.help += (i == 0 ? " (" : ", ") + notes[i];
  if (!notes.empty()) row.help += ")";
  rows_.push_back(std::move(row));
}

OptionRow& OptionTable::row_of_flag(std::string_view flag, std::string_view where) {
  for (OptionRow& row : rows_) {
    if (row.flag == flag) return row;
  }
  throw InputError(std::string(where) + ": no option --" + std::string(flag));
}

void OptionTable::add_preset(const Preset& preset) {
  const auto known = std::ranges::find(presets_, preset.name, &Preset::name);
  if (known == presets_.end()) {
    presets_.push_back(preset);
    return;
  }
  known->values.insert(known->values.end(), preset.values.begin(), preset.values.end());
  if (known->help.empty()) known->help = preset.help;
  if (known->base.empty()) known->base = preset.base;
}

void OptionTable::apply_preset(std::string_view name) {
  std::vector<std::string> known;
  for (const Preset& preset : presets_) {
    known.push_back(preset.name);
    if (preset.name != name) continue;
    if (!preset.base.empty()) apply_preset(preset.base);
    for (const auto& [flag, text] : preset.values) row_of_flag(flag, "--preset " + preset.name).set(text, "--" + flag);
    return;
  }
  refuse_choice("--preset", name, known);
}

void OptionTable::read_toml(const std::filesystem::path& file, std::string_view method, std::string_view space) {
  parse_toml(read_text(file), file.string(), method, space);
}

void OptionTable::parse_toml(std::string_view content, const std::string& name, std::string_view method,
                             std::string_view space) {
  toml::table document;
  try {
    document = toml::parse(content, name);
  } catch (const toml::parse_error& error) {
    throw InputError(name + ":" + std::to_string(error.source().begin.line) + ": " + quote(error.description(), 200));
  }
  const auto place = [&](const toml::node& node, std::string_view section, std::string_view key) {
    return name + ":" + std::to_string(node.source().begin.line) + ": [" + std::string(section) + "] " +
           (std::ranges::all_of(key, [](char c) { return c > ' ' && c < '\x7f'; }) ? std::string(key) : quote(key));
  };
  // First of all whose configuration this is: another method's has sections that mean nothing here.
  const toml::table* search = method.empty() ? nullptr : document["search"].as_table();
  if (search != nullptr) {
    for (const auto& [key, node] : *search) {
      const std::string_view expected = key.str() == "method" ? method : space;
      if (key.str() != "method" && key.str() != "space") {
        throw InputError(place(node, "search", key.str()) + ": unknown key, expected method or space");
      }
      if (text_of(node) != expected) {
        throw InputError(place(node, "search", key.str()) + ": found " + quote(text_of(node)) +
                         ", but this program is '" + std::string(expected) + "'");
      }
    }
  }
  for (const auto& [section_key, section_node] : document) {
    const std::string_view section = section_key.str();
    const toml::table* table = section_node.as_table();
    if (table == nullptr) {
      throw InputError(name + ":" + std::to_string(section_node.source().begin.line) + ": key " + quote(section) +
                       " stands outside a [section]");
    }
    if (section == "search" && !method.empty()) continue;
    std::vector<std::string> sections;
    for (const OptionRow& row : rows_) {
      if (std::ranges::find(sections, row.section) == sections.end()) sections.push_back(row.section);
    }
    if (std::ranges::find(sections, section) == sections.end()) {
      throw InputError(name + ":" + std::to_string(section_node.source().begin.line) + ": unknown section " +
                       quote(section) + did_you_mean(section, sections));
    }
    for (const auto& [key, node] : *table) {
      std::vector<std::string> known;
      OptionRow* match = nullptr;
      for (OptionRow& row : rows_) {
        if (row.section != section) continue;
        known.push_back(row.name);
        if (row.name == key.str()) match = &row;
      }
      if (match == nullptr) {
        throw InputError(place(node, section, key.str()) + ": unknown key" + did_you_mean(key.str(), known));
      }
      match->set(text_of(node), place(node, section, key.str()));
    }
  }
}

OptionTable::CommandLine OptionTable::read_command_line(std::span<const char* const> arguments, std::string_view method,
                                                        std::string_view space) {
  CommandLine result;
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  app.add_flag("-h,--help", result.help);
  app.add_flag("--version", result.version);
  app.add_flag("--describe", result.describe);
  app.add_flag("--dry-run", result.dry_run);
  app.add_flag("--resume", result.resume);
  std::string config;
  app.add_option("--config", config);
  app.add_option("--preset", result.preset);

  std::vector<std::string> texts(rows_.size());
  std::vector<CLI::Option*> given(rows_.size());
  std::vector<std::string> known{"--help", "--version", "--dry-run", "--resume", "--config", "--preset"};
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const OptionRow& row = rows_[i];
    if (row.is_switch()) {
      given[i] = app.add_flag_function("--" + row.flag + ",!--no-" + row.flag,
                                       [&texts, i](std::int64_t count) { texts[i] = count > 0 ? "true" : "false"; });
      known.push_back("--no-" + row.flag);
    } else {
      given[i] = app.add_option("--" + row.flag, texts[i]);
    }
    known.push_back("--" + row.flag);
  }
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string text = error.what();
    throw InputError(text.substr(0, text.find(':')) +
                     (text.ends_with("missing") ? ": found no value, expected one" : ": found twice, expected once"));
  } catch (const CLI::ParseError& error) {
    throw InputError(error.what());
  }
  for (const std::string& extra : app.remaining()) {
    if (!extra.starts_with("-")) throw InputError("unexpected argument " + extra);
    const std::string name = extra.substr(0, extra.find('='));
    throw InputError("unknown option " + name + did_you_mean(name, known));
  }
  if (!result.preset.empty()) apply_preset(result.preset);
  if (!config.empty()) read_toml(config, method, space);
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (given[i]->count() > 0) rows_[i].set(texts[i], "--" + rows_[i].flag);
  }
  return result;
}

std::string OptionTable::help(std::string_view program, std::string_view purpose) const {
  constexpr std::size_t column = 34;
  std::ostringstream out;
  const auto line = [&](std::string left, std::string_view right) {
    left = "  " + left;
    if (left.size() + 2 > column) {
      out << left << "\n" << std::string(column, ' ') << right << "\n";
    } else {
      out << left << std::string(column - left.size(), ' ') << right << "\n";
    }
  };
  out << program << ": " << purpose << "\n\nUsage: " << program << " [options]\n\n";
  line("-h, --help", "this text");
  line("--version", "the version");
  line("--dry-run", "print the resolved configuration and the planned steps, then end");
  line("--resume", "continue the run in --out");
  line("--config FILE.toml", "read options from a file (the command line wins)");
  std::string names;
  for (const Preset& preset : presets_)
    names += (names.empty() ? "" : ", ") + preset.name + (preset.help.empty() ? "" : " (" + preset.help + ")");
  if (!names.empty()) line("--preset NAME", names);
  std::string section;
  for (const OptionRow& row : rows_) {
    if (row.section != section) {
      section = row.section;
      out << "\n[" << section << "]\n";
    }
    line(row.is_switch() ? "--[no-]" + row.flag : "--" + row.flag + " VALUE", row.help);
  }
  return out.str();
}

std::string OptionTable::to_toml(std::string_view method, std::string_view space) const {
  std::ostringstream out;
  if (!method.empty()) out << "[search]\nmethod = " << toml_text(method) << "\nspace = " << toml_text(space) << "\n";
  std::string section;
  for (const OptionRow& row : rows_) {
    if (row.section != section) {
      section = row.section;
      out << (out.view().empty() ? "[" : "\n[") << section << "]\n";
    }
    out << row.name << " = " << (row.is_text() ? toml_text(row.get()) : row.get()) << "\n";
  }
  return out.str();
}

}  // namespace flowdarts
