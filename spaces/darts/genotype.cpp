#include <algorithm>
#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/genotype_json.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

namespace flowdarts::darts {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

std::string op_list() {
  std::string list;
  for (std::size_t op = 1; op < op_names.size(); ++op) {
    list.append(op == 1 ? "" : op + 1 == op_names.size() ? " or " : ", ").append(op_names[op]);
  }
  return list;
}

/// Reads the text of a genotype token by token; white space may stand before each.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_{text} { skip_space(); }

  Genotype genotype() {
    const std::size_t start = position_;
    if (const std::string_view name = word(); name != "Genotype" || peek() == '=') {
      if (name.empty() || is_digit(name.front()) || peek() != '=') refuse(start, "\"Genotype(\" or a name and \"=\"");
      expect('=');
      keyword("Genotype");
    }
    expect('(');
    Genotype genotype;
    genotype.normal = cell("normal");
    expect(',');
    genotype.reduce = cell("reduce");
    accept(',');
    expect(')');
    if (position_ != text_.size()) refuse(position_, "the end of the text");
    return genotype;
  }

 private:
  Cell cell(const std::string& name) {
    Cell cell;
    keyword(name);
    expect('=');
    cell.inputs.clear();
    list([&] { cell.inputs.push_back(input(static_cast<int>(cell.inputs.size() / 2))); },
         [&] { return cell.inputs.size() == 2 * max_nodes; });
    if (cell.inputs.size() % 2 == 1) refuse(position_ - 1, "the second input of node " + std::to_string(cell.nodes()));
    expect(',');
    keyword(name + "_concat");
    expect('=');
    cell.concat = concat(cell.nodes());
    return cell;
  }

  // ('op', state)
  Input input(int node) {
    Input input;
    expect('(');
    const std::size_t start = position_;
    const char quote_mark = peek();
    if (quote_mark != '\'' && quote_mark != '"') refuse(start, "an op in quotes");
    const std::size_t end = text_.find(quote_mark, start + 1);
    if (end == std::string_view::npos) refuse(text_.size(), quote({&quote_mark, 1}));
    const auto name = std::ranges::find(op_names.begin() + 1, op_names.end(), text_.substr(start + 1, end - start - 1));
    if (name == op_names.end()) refuse(start, op_list(), end + 1 - start);
    input.op = static_cast<Op>(name - op_names.begin());
    advance(end + 1 - start);
    expect(',');
    input.state = number(0, node + 1);
    accept(',');
    expect(')');
    return input;
  }

  // range(first, last) or a list of states
  std::vector<int> concat(int nodes) {
    std::vector<int> states;
    if (peek() == 'r') {
      keyword("range");
      expect('(');
      const int first = number(input_states, nodes + 1);
      expect(',');
      const int last = number(first + 1, nodes + 2);
      expect(')');
      states.resize(static_cast<std::size_t>(last - first));
      std::iota(states.begin(), states.end(), first);
      return states;
    }
    list([&] { states.push_back(number(states.empty() ? input_states : states.back() + 1, nodes + 1)); },
         [&] { return !states.empty() && states.back() == nodes + 1; });
    return states;
  }

  // [item, ...]: at least one; full() says that no more can follow.
  template <class Item, class Full>
  void list(const Item& item, const Full& full) {
    expect('[');
    do {
      item();
    } while (accept(',') && peek() != ']' && !full());
    expect(']');
  }

  int number(int low, int high) {
    const std::size_t start = position_;
    std::size_t end = start;
    int value = 0;
    while (end < text_.size() && is_digit(text_[end]) && value <= high) value = 10 * value + (text_[end++] - '0');
    const bool canonical = end == start + 1 || (end > start && text_[start] != '0');
    if (!canonical || value < low || value > high) {
      refuse(start, low == high ? std::to_string(low) : std::to_string(low) + " to " + std::to_string(high));
    }
    advance(end - start);
    return value;
  }

  [[nodiscard]] char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  bool accept(char c) {
    if (peek() != c || position_ == text_.size()) return false;
    advance(1);
    return true;
  }

  void expect(char c) {
    if (!accept(c)) refuse(position_, quote({&c, 1}));
  }

  std::string_view word() {
    const std::string_view found = word_at(position_);
    advance(found.size());
    return found;
  }

  void keyword(std::string_view expected) {
    if (word_at(position_) != expected) refuse(position_, quote(expected));
    advance(expected.size());
  }

  [[nodiscard]] std::string_view word_at(std::size_t start) const {
    std::size_t end = start;
    while (end < text_.size() && is_word(text_[end])) ++end;
    return text_.substr(start, end - start);
  }

  void advance(std::size_t count) {
    position_ += count;
    skip_space();
  }

  void skip_space() {
    while (position_ < text_.size() && is_space(text_[position_])) ++position_;
  }

  // length 0: the word or character that stands there.
  [[noreturn]] void refuse(std::size_t at, const std::string& expected, std::size_t length = 0) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = 1 + std::ranges::count(before, '\n');
    const std::size_t column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
    if (length == 0) length = std::max<std::size_t>(word_at(at).size(), 1);
    const std::string found = at == text_.size() ? "the end of the text" : quote(text_.substr(at, length));
    throw InputError("genotype, line " + std::to_string(line) + ", character " + std::to_string(column) + ": found " +
                     found + ", expected " + expected);
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

std::string inputs_text(const Cell& cell) {
  std::string text;
  for (const auto& [op, state] : cell.inputs) {
    text.append(text.empty() ? "[('" : ", ('").append(name_of(op)).append("', ").append(std::to_string(state));
    text += ')';
  }
  return text + "]";
}

std::string concat_text(const Cell& cell) {
  const int first = cell.concat.front(), last = cell.concat.back();
  if (last - first + 1 == static_cast<int>(cell.concat.size())) {
    return "range(" + std::to_string(first) + ", " + std::to_string(last + 1) + ")";
  }
  std::string text;
  for (const int state : cell.concat) text += (text.empty() ? "[" : ", ") + std::to_string(state);
  return text + "]";
}

nlohmann::ordered_json cell_json(const Cell& cell) {
  auto nodes = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < cell.inputs.size(); i += 2) {
    auto node = nlohmann::ordered_json::array();
    for (const Input& input : {cell.inputs[i], cell.inputs[i + 1]}) {
      node.push_back(nlohmann::ordered_json::array({name_of(input.op), input.state}));
    }
    nodes.push_back(std::move(node));
  }
  return {{"nodes", std::move(nodes)}, {"concat", cell.concat}};
}

std::string state_name(int state) {
  return state == 0 ? "c_{k-2}" : state == 1 ? "c_{k-1}" : std::to_string(state - input_states);
}

void add_dot(std::string& dot, const std::string& name, const Cell& cell) {
  const auto id = [&](int state) { return name + std::to_string(state); };
  const std::string output = name + "_out";
  dot += "  subgraph cluster_" + name + " {\n    label=\"" + name + "\";\n";
  for (int state = 0; state < cell.nodes() + input_states; ++state) {
    dot += "    " + id(state) + " [label=\"" + state_name(state) + "\"];\n";
  }
  dot += "    " + output + " [label=\"c_{k}\"];\n";
  for (std::size_t i = 0; i < cell.inputs.size(); ++i) {
    dot += "    " + id(cell.inputs[i].state) + " -> " + id(static_cast<int>(i / 2) + input_states) + " [label=\"" +
           std::string(name_of(cell.inputs[i].op)) + "\"];\n";
  }
  for (const int state : cell.concat) dot += "    " + id(state) + " -> " + output + ";\n";
  dot += "  }\n";
}

}  // namespace

Genotype sorted(Genotype genotype) {
  for (Cell* cell : {&genotype.normal, &genotype.reduce}) {
    for (std::size_t i = 0; i < cell->inputs.size(); i += 2) {
      Input &first = cell->inputs[i], &second = cell->inputs[i + 1];
      if (std::tie(second.state, second.op) < std::tie(first.state, first.op)) std::swap(first, second);
    }
  }
  return genotype;
}

std::string to_string(const Genotype& genotype) {
  return "Genotype(normal=" + inputs_text(genotype.normal) + ", normal_concat=" + concat_text(genotype.normal) +
         ", reduce=" + inputs_text(genotype.reduce) + ", reduce_concat=" + concat_text(genotype.reduce) + ")";
}

Genotype parse_genotype(std::string_view text) {
  return Reader(text).genotype();
}

std::string to_json(const Genotype& genotype) {
  const nlohmann::ordered_json object{{"space", space_name},
                                      {"genotype", to_string(genotype)},
                                      {"normal", cell_json(genotype.normal)},
                                      {"reduce", cell_json(genotype.reduce)}};
  return object.dump(2) + "\n";
}

Genotype from_json(std::string_view text) {
  const nlohmann::json object = read_genotype_json(text, space_name);
  const Genotype genotype = genotype_member(object, parse_genotype);
  for (const auto& [name, cell] : {std::pair{"normal", &genotype.normal}, {"reduce", &genotype.reduce}}) {
    const auto member = object.find(name);
    if (member != object.end() && *member != nlohmann::json(cell_json(*cell))) {
      throw InputError(std::string("genotype JSON: \"") + name + "\": found a cell other than that of \"genotype\"");
    }
  }
  return genotype;
}

std::string to_dot(const Genotype& genotype) {
  std::string dot = "digraph cells {\n  rankdir=LR;\n  node [shape=circle];\n";
  add_dot(dot, "normal", genotype.normal);
  add_dot(dot, "reduce", genotype.reduce);
  return dot + "}\n";
}

}  // namespace flowdarts::darts
