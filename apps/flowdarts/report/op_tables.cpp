#include "op_tables.hpp"

#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <limits>
#include <span>

namespace flowdarts::report {
namespace {

namespace nb201 = nas_bench_201;

[[noreturn]] void refuse_space(std::string_view space) {
  throw InputError("found the space " + quote(space) + ", expected \"nas-bench-201\", \"darts\" or \"mobilenet\"");
}

void check_size(const std::string& what, std::size_t found, bool fits, const std::string& expected) {
  if (!fits) throw InputError(what + ": found " + std::to_string(found) + ", expected " + expected);
}

template <class Names>
std::vector<std::string> texts(const Names& names) {
  return {names.begin(), names.end()};
}

OpTable table_of(std::string name, std::vector<std::string> rows, std::vector<std::string> columns,
                 std::vector<double> values) {
  check_size("matrix of ops", values.size(), values.size() == rows.size() * columns.size(),
             std::to_string(rows.size()) + " x " + std::to_string(columns.size()) + " numbers");
  OpTable table{std::move(name), std::move(rows), std::move(columns), std::move(values), {}};
  table.chosen.resize(table.values.size());
  return table;
}

std::vector<OpTable> tables_of_nas_bench_201(const Matrices& matrices, const std::string& genotype) {
  check_size("matrices of ops", matrices.size(), matrices.size() == 1 || matrices.size() == 2, "1 or 2");
  const std::vector<std::string> edges = texts(nb201::edge_names);
  std::vector<OpTable> tables{table_of("", edges, texts(nb201::op_names), matrices[0])};
  if (matrices.size() == 2) tables.push_back(table_of("edge weights", edges, {"weight"}, matrices[1]));
  if (!genotype.empty()) {
    const nb201::Genotype cell = nb201::parse_genotype(genotype);
    for (std::size_t edge = 0; edge < cell.ops.size(); ++edge) {
      tables[0].chosen[edge * nb201::op_names.size() + static_cast<std::size_t>(cell.ops[edge])] = true;
    }
  }
  return tables;
}

std::vector<std::string> darts_edges() {
  std::vector<std::string> names;
  for (int node = 0; node < darts::default_nodes; ++node) {
    for (int state = 0; state < node + darts::input_states; ++state) {
      const std::string source = state == 0 ? "k-2" : state == 1 ? "k-1" : std::to_string(state - darts::input_states);
      names.push_back(std::to_string(node) + "<-" + source);
    }
  }
  return names;
}

std::vector<OpTable> tables_of_darts(const Matrices& matrices, const std::string& genotype) {
  check_size("matrices of ops", matrices.size(), matrices.size() == 2 || matrices.size() == 4, "2 or 4");
  const std::vector<std::string> edges = darts_edges();
  const std::span candidates = std::span(darts::op_names).first(darts::candidate_count);
  // Seven columns: a search without `none`.
  const std::size_t first = matrices[0].size() == edges.size() * (darts::candidate_count - 1) ? 1 : 0;
  const std::vector<std::string> ops = texts(candidates.subspan(first));
  std::vector<OpTable> tables{table_of("normal cell", edges, ops, matrices[0]),
                              table_of("reduction cell", edges, ops, matrices[1])};
  if (matrices.size() == 4) {
    tables.push_back(table_of("edge weights, normal cell", edges, {"weight"}, matrices[2]));
    tables.push_back(table_of("edge weights, reduction cell", edges, {"weight"}, matrices[3]));
  }
  if (genotype.empty()) return tables;
  const darts::Genotype cells = darts::parse_genotype(genotype);
  for (const auto& [table, cell] : {std::pair{0, &cells.normal}, {1, &cells.reduce}}) {
    check_size("nodes of a cell", static_cast<std::size_t>(cell->nodes()), cell->nodes() == darts::default_nodes,
               std::to_string(darts::default_nodes));
    for (std::size_t i = 0; i < cell->inputs.size(); ++i) {
      const darts::Input& input = cell->inputs[i];
      const std::size_t row = darts::first_edge(static_cast<int>(i / 2)) + static_cast<std::size_t>(input.state);
      const std::size_t column = static_cast<std::size_t>(input.op) - first;
      check_size("op", static_cast<std::size_t>(input.op), column < ops.size(), "a candidate of the search");
      tables[static_cast<std::size_t>(table)].chosen[row * ops.size() + column] = true;
    }
  }
  return tables;
}

std::vector<OpTable> tables_of_mobilenet(const Matrices& matrices, const std::string& genotype) {
  constexpr std::size_t columns = mobilenet::op_names.size();
  check_size("matrices of ops", matrices.size(), matrices.size() == mobilenet::layer_count,
             std::to_string(mobilenet::layer_count));
  std::vector<std::string> layers;
  std::vector<double> values;
  for (int layer = 0; layer < mobilenet::layer_count; ++layer) {
    const auto& row = matrices[static_cast<std::size_t>(layer)];
    const auto candidates = static_cast<std::size_t>(mobilenet::columns_of(layer));
    check_size("ops of layer " + std::to_string(layer), row.size(), row.size() == candidates,
               std::to_string(candidates));
    layers.push_back("layer " + std::to_string(layer) + ", stage " + std::to_string(mobilenet::stage_of(layer)));
    values.insert(values.end(), row.begin(), row.end());
    values.resize(layers.size() * columns, std::numeric_limits<double>::quiet_NaN());
  }
  std::vector<OpTable> tables{table_of("", layers, texts(mobilenet::op_names), std::move(values))};
  if (genotype.empty()) return tables;
  const mobilenet::Genotype chain = mobilenet::parse_genotype(genotype);
  for (std::size_t layer = 0; layer < chain.ops.size(); ++layer) {
    tables[0].chosen[layer * columns + static_cast<std::size_t>(chain.ops[layer])] = true;
  }
  return tables;
}

}  // namespace

std::vector<OpTable> op_tables(std::string_view space, const Matrices& matrices, const std::string& genotype) {
  if (space == nb201::space_name) return tables_of_nas_bench_201(matrices, genotype);
  if (space == darts::space_name) return tables_of_darts(matrices, genotype);
  if (space == mobilenet::space_name) return tables_of_mobilenet(matrices, genotype);
  refuse_space(space);
}

void remove_gone(std::vector<OpTable>& tables, const std::vector<OpTable>& left) {
  for (std::size_t i = 0; i < std::min(tables.size(), left.size()); ++i) {
    for (std::size_t op = 0; op < std::min(tables[i].values.size(), left[i].values.size()); ++op) {
      if (left[i].values[op] == 0) tables[i].values[op] = std::numeric_limits<double>::quiet_NaN();
    }
  }
}

std::string genotype_dot(std::string_view space, const std::string& genotype) {
  if (space == nb201::space_name) return to_dot(nb201::parse_genotype(genotype));
  if (space == darts::space_name) return to_dot(darts::parse_genotype(genotype));
  if (space == mobilenet::space_name) {
    std::string dot = to_dot(mobilenet::parse_genotype(genotype));
    return dot.insert(dot.find('{') + 1, "ranksep=0.15; nodesep=0.15;");  // a long chain: closer together
  }
  refuse_space(space);
}

}  // namespace flowdarts::report
