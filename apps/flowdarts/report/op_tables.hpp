#pragma once
// The matrices of a search as tables of edges (or layers) by ops, with the ops of an architecture marked.

#include <flowdarts/spaces/support/error.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "run.hpp"

namespace flowdarts::report {

/// Rows are edges or layers, columns ops. Both vectors are row-major, of rows x columns.
struct OpTable {
  std::string name;  ///< "normal cell"; empty for the only table of its space
  std::vector<std::string> rows, columns;
  std::vector<double> values;  ///< NaN where there is no such op, or no value
  std::vector<bool> chosen;    ///< what an architecture has

  [[nodiscard]] double value(std::size_t row, std::size_t column) const {
    return values[row * columns.size() + column];
  }
  [[nodiscard]] bool is_chosen(std::size_t row, std::size_t column) const {
    return chosen[row * columns.size() + column];
  }
};

/// The tables of a space: one for nas-bench-201 and mobilenet, one a kind of cell for darts; edge weights, where the
/// matrices have them, are tables of one column. `genotype`: the architecture's text form, or empty to mark nothing.
/// Throws InputError for another space, matrices of other sizes, and a text that is none of the space.
std::vector<OpTable> op_tables(std::string_view space, const Matrices& matrices, const std::string& genotype);

/// Takes the values of those ops away that `left`, tables of zeros and ones, says are gone.
void remove_gone(std::vector<OpTable>& tables, const std::vector<OpTable>& left);

/// The architecture as a Graphviz digraph. Throws InputError as above.
std::string genotype_dot(std::string_view space, const std::string& genotype);

}  // namespace flowdarts::report
