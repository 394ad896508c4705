#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/genotype_json.hpp>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>

namespace flowdarts::mobilenet {
namespace {

constexpr std::string_view conv_op_list = "k3e3, k3e6, k5e3, k5e6, k7e3 or k7e6";

/// Reads a layer string from left to right.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_{text} {}

  Op op(int layer) {
    if (layer > 0) {
      if (position_ == text_.size() || text_[position_] != ',') refuse(layer, 1, "\",\"");
      ++position_;
    }
    const std::size_t length = std::min(text_.find(',', position_), text_.size()) - position_;
    const auto name = std::ranges::find(op_names, text_.substr(position_, length));
    const bool known = name != op_names.end();
    const auto op = static_cast<Op>(name - op_names.begin());
    if (!known || (op == Op::skip && !may_skip(layer))) {
      refuse(layer, std::max<std::size_t>(length, 1),
             std::string(conv_op_list) +
                 (may_skip(layer) ? ", or skip" : ": this layer changes width or resolution, so none may skip it"));
    }
    position_ += length;
    return op;
  }

  void end() const {
    if (position_ != text_.size()) refuse(layer_count, text_.size() - position_, "the end of the text");
  }

 private:
  [[noreturn]] void refuse(int layer, std::size_t length, std::string_view expected) const {
    const std::string found =
        position_ == text_.size() ? "the end of the text" : quote(text_.substr(position_, length));
    throw InputError("layer string, character " + std::to_string(position_ + 1) +
                     (layer < layer_count ? ", layer " + std::to_string(layer) : "") + ": found " + found +
                     ", expected " + std::string(expected));
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

/// Calls f(layer, op) in order.
template <class F>
void for_each_layer(const Genotype& genotype, const F& f) {
  for (int layer = 0; layer < layer_count; ++layer) f(layer, genotype.ops[static_cast<std::size_t>(layer)]);
}

std::string square(int side) {
  return std::to_string(side) + "x" + std::to_string(side);
}

std::string block_string(std::string_view type, int repeats, int kernel, int stride, int expansion, int channels) {
  return std::string(type) + "_r" + std::to_string(repeats) + "_k" + std::to_string(kernel) + "_s" +
         std::to_string(stride) + "_e" + std::to_string(expansion) + "_c" + std::to_string(channels);
}

}  // namespace

std::string to_string(const Genotype& genotype) {
  std::string text;
  for (const Op op : genotype.ops) text.append(text.empty() ? "" : ",").append(name_of(op));
  return text;
}

Genotype parse_genotype(std::string_view text) {
  Reader reader(text);
  Genotype genotype;
  for (int layer = 0; layer < layer_count; ++layer) genotype.ops[static_cast<std::size_t>(layer)] = reader.op(layer);
  reader.end();
  return genotype;
}

std::string to_json(const Genotype& genotype) {
  nlohmann::ordered_json ops = nlohmann::ordered_json::array();
  for (const Op op : genotype.ops) ops.push_back(name_of(op));
  const nlohmann::ordered_json object{
      {"space", space_name}, {"genotype", to_string(genotype)}, {"ops", std::move(ops)}};
  return object.dump(2) + "\n";
}

Genotype from_json(std::string_view text) {
  const nlohmann::json object = read_genotype_json(text, space_name);
  const Genotype genotype = genotype_member(object, parse_genotype);
  if (const auto ops = object.find("ops"); ops != object.end()) {
    if (!ops->is_array() || ops->size() != genotype.ops.size()) {
      throw InputError("genotype JSON: \"ops\": expected an array of the 21 layers' ops");
    }
    for (std::size_t layer = 0; layer < genotype.ops.size(); ++layer) {
      const nlohmann::json& op = (*ops)[layer];
      if (op != name_of(genotype.ops[layer])) {
        throw InputError("genotype JSON: \"ops\": layer " + std::to_string(layer) + ": found " +
                         (op.is_string() ? quote(op.get<std::string>()) : std::string(op.type_name())) + ", expected " +
                         quote(name_of(genotype.ops[layer])) + " as in \"genotype\"");
      }
    }
  }
  return genotype;
}

std::string to_dot(const Genotype& genotype) {
  std::string dot =
      "digraph chain {\n  node [shape=box];\n  input [shape=plain];\n  stem [label=\"conv 3x3\"];\n"
      "  stage0 [label=\"MBConv1 3x3\"];\n  head [label=\"conv 1x1, average pool, linear\"];\n"
      "  output [shape=plain];\n  input -> stem -> stage0";
  for (int layer = 0; layer < layer_count; ++layer) dot += " -> " + std::to_string(layer);
  dot += " -> head -> output;\n";
  for_each_layer(genotype, [&](int layer, Op op) {
    if (begins_stage(layer)) {
      const std::string stage = std::to_string(stage_of(layer));
      dot += "  subgraph cluster_" + stage + " {\n    label=\"stage " + stage + ", stride " +
             std::to_string(stride_of(layer)) + "\";\n";
    }
    dot += "    " + std::to_string(layer) + " [label=\"" + std::string(name_of(op)) + "\"" +
           (op == Op::skip ? ", style=dashed, color=grey" : "") + "];\n";
    if (layer + 1 == layer_count || begins_stage(layer + 1)) dot += "  }\n";
  });
  return dot + "}\n";
}

std::vector<std::string> to_proxyless(const Genotype& genotype) {
  std::vector<std::string> names;
  for (const Op op : genotype.ops) {
    names.push_back(op == Op::skip ? "Zero" : square(kernel_of(op)) + "_MBConv" + std::to_string(expansion_of(op)));
  }
  return names;
}

std::vector<std::vector<std::string>> to_timm(const Genotype& genotype, const Widths& widths) {
  std::vector<std::vector<std::string>> stages{{block_string("ds", 1, 3, 1, 1, widths.stages[0])}};
  int repeats = 0;
  for_each_layer(genotype, [&](int layer, Op op) {
    if (begins_stage(layer)) stages.emplace_back();
    if (op == Op::skip) return;
    const LayerShape shape = shape_of(layer, widths);
    const auto text = [&](int count) {
      return block_string("ir", count, kernel_of(op), shape.stride, expansion_of(op), shape.out);
    };
    auto& blocks = stages.back();
    if (!blocks.empty() && blocks.back() == text(repeats)) {
      blocks.back() = text(++repeats);
    } else {
      blocks.push_back(text(repeats = 1));
    }
  });
  return stages;
}

Genotype derive(const std::vector<std::vector<double>>& scores) {
  if (scores.size() != layer_count) {
    throw InputError("scores of a chain: found " + std::to_string(scores.size()) + " rows, expected 21");
  }
  Genotype genotype;
  for (int layer = 0; layer < layer_count; ++layer) {
    const std::vector<double>& row = scores[static_cast<std::size_t>(layer)];
    const std::string where = "scores of a chain: layer " + std::to_string(layer);
    if (row.size() != static_cast<std::size_t>(columns_of(layer))) {
      throw InputError(where + ": found " + std::to_string(row.size()) + " numbers, expected " +
                       std::to_string(columns_of(layer)));
    }
    const auto nan = std::ranges::find_if(row, [](double score) { return std::isnan(score); });
    if (nan != row.end()) {
      throw InputError(where + ", op " + std::string(op_names[static_cast<std::size_t>(nan - row.begin())]) +
                       ": found NaN, expected a number");
    }
    genotype.ops[static_cast<std::size_t>(layer)] = static_cast<Op>(std::ranges::max_element(row) - row.begin());
  }
  return genotype;
}

}  // namespace flowdarts::mobilenet
