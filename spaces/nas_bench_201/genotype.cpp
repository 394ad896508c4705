#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/genotype_json.hpp>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <vector>

namespace flowdarts::nas_bench_201 {
namespace {

constexpr std::string_view op_list = "none, skip_connect, nor_conv_1x1, nor_conv_3x3 or avg_pool_3x3";

/// Reads an architecture string from left to right.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_{text} {}

  void expect(char c) {
    if (position_ == text_.size() || text_[position_] != c) refuse(1, quote({&c, 1}));
    ++position_;
  }

  Op op() {
    const std::size_t length = std::min(text_.find_first_of("~|+", position_), text_.size()) - position_;
    const auto name = std::ranges::find(op_names, text_.substr(position_, length));
    if (name == op_names.end()) refuse(std::max<std::size_t>(length, 1), op_list);
    position_ += length;
    return static_cast<Op>(name - op_names.begin());
  }

  void end() const {
    if (position_ != text_.size()) refuse(text_.size() - position_, "the end of the text");
  }

 private:
  [[noreturn]] void refuse(std::size_t length, std::string_view expected) const {
    const std::string found =
        position_ == text_.size() ? "the end of the text" : quote(text_.substr(position_, length));
    throw InputError("architecture string, character " + std::to_string(position_ + 1) + ": found " + found +
                     ", expected " + std::string(expected));
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace

Genotype Genotype::from_index(int index) {
  if (index < 0 || index >= genotype_count) {
    throw InputError("cell index: found " + std::to_string(index) + ", expected 0 to " +
                     std::to_string(genotype_count - 1));
  }
  Genotype genotype;
  for (auto op = genotype.ops.rbegin(); op != genotype.ops.rend(); ++op) {
    *op = static_cast<Op>(index % static_cast<int>(op_names.size()));
    index /= static_cast<int>(op_names.size());
  }
  return genotype;
}

std::string to_string(const Genotype& genotype) {
  std::string text;
  for (std::size_t row = 0; row < edges.size(); ++row) {
    if (edges[row].from == 0) text += row == 0 ? "|" : "+|";
    text.append(name_of(genotype.ops[row])).append("~").append(std::to_string(edges[row].from)).append("|");
  }
  return text;
}

Genotype parse_genotype(std::string_view text) {
  Reader reader(text);
  Genotype genotype;
  for (std::size_t row = 0; row < edges.size(); ++row) {
    if (edges[row].from == 0) {
      if (row != 0) reader.expect('+');
      reader.expect('|');
    }
    genotype.ops[row] = reader.op();
    reader.expect('~');
    reader.expect(static_cast<char>('0' + edges[row].from));
    reader.expect('|');
  }
  reader.end();
  return genotype;
}

std::string to_json(const Genotype& genotype) {
  nlohmann::ordered_json ops = nlohmann::ordered_json::object();
  for (std::size_t row = 0; row < edges.size(); ++row) ops[std::string(edge_names[row])] = name_of(genotype.ops[row]);
  const nlohmann::ordered_json object{
      {"space", space_name}, {"genotype", to_string(genotype)}, {"ops", std::move(ops)}};
  return object.dump(2) + "\n";
}

Genotype from_json(std::string_view text) {
  const nlohmann::json object = read_genotype_json(text, space_name);
  const Genotype genotype = genotype_member(object, parse_genotype);
  if (const auto ops = object.find("ops"); ops != object.end()) {
    if (!ops->is_object() || ops->size() != edges.size()) {
      throw InputError("genotype JSON: \"ops\": expected an object with the six edges");
    }
    for (std::size_t row = 0; row < edges.size(); ++row) {
      const std::string edge(edge_names[row]);
      if (const std::string op = text_member(*ops, edge); op != name_of(genotype.ops[row])) {
        throw InputError("genotype JSON: \"ops\": " + edge + ": found " + quote(op) + ", expected " +
                         quote(name_of(genotype.ops[row])) + " as in \"genotype\"");
      }
    }
  }
  return genotype;
}

std::string to_dot(const Genotype& genotype) {
  std::string dot =
      "digraph cell {\n  rankdir=LR;\n  node [shape=circle];\n  0 [label=\"input\"];\n  3 [label=\"output\"];\n";
  for (std::size_t row = 0; row < edges.size(); ++row) {
    dot += "  " + std::to_string(edges[row].from) + " -> " + std::to_string(edges[row].to) + " [label=\"" +
           std::string(name_of(genotype.ops[row])) + "\"" +
           (genotype.ops[row] == Op::none ? ", style=dashed, color=grey" : "") + "];\n";
  }
  return dot + "}\n";
}

Genotype derive(std::span<const double> scores) {
  constexpr std::size_t columns = op_names.size();
  if (scores.size() != edges.size() * columns) {
    throw InputError("scores of a cell: found " + std::to_string(scores.size()) + " numbers, expected 6 x 5");
  }
  Genotype genotype;
  for (std::size_t row = 0; row < edges.size(); ++row) {
    const auto candidates = scores.subspan(row * columns, columns);
    const auto nan = std::ranges::find_if(candidates, [](double score) { return std::isnan(score); });
    if (nan != candidates.end()) {
      throw InputError("scores of a cell: edge " + std::string(edge_names[row]) + ", op " +
                       std::string(op_names[static_cast<std::size_t>(nan - candidates.begin())]) +
                       ": found NaN, expected a number");
    }
    genotype.ops[row] = static_cast<Op>(std::ranges::max_element(candidates) - candidates.begin());
  }
  return genotype;
}

std::string unique_string(const Genotype& genotype, Isomorphism isomorphism) {
  constexpr std::string_view zero = "#";
  std::array<std::vector<std::string>, node_count> inputs;
  std::array<std::string, node_count> nodes{"0"};
  for (std::size_t row = 0; row < edges.size(); ++row) {
    const Op op = genotype.ops[row];
    const auto [to, from] = edges[row];
    const std::string& source = nodes[static_cast<std::size_t>(from)];
    auto& into = inputs[static_cast<std::size_t>(to)];
    if (isomorphism == Isomorphism::none_and_skip && (op == Op::none || source == zero)) {
      into.emplace_back(zero);
    } else if (isomorphism != Isomorphism::plain && op == Op::skip_connect) {
      into.push_back(source);
    } else {
      into.push_back("(" + source + ")@" + std::string(name_of(op)));
    }
    if (from + 1 == to) {  // the last input of its node
      std::ranges::sort(into);
      auto& node = nodes[static_cast<std::size_t>(to)];
      for (const std::string& input : into) node += (node.empty() ? "" : "+") + input;
    }
  }
  return nodes.back();
}

bool is_connected(const Genotype& genotype) {
  std::array<bool, node_count> reached{true};
  for (std::size_t row = 0; row < edges.size(); ++row) {
    const auto [to, from] = edges[row];
    if (genotype.ops[row] != Op::none && reached[static_cast<std::size_t>(from)]) {
      reached[static_cast<std::size_t>(to)] = true;
    }
  }
  return reached.back();
}

}  // namespace flowdarts::nas_bench_201
