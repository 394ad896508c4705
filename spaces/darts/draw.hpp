#pragma once
// A picture of both cells for a terminal.

#include <flowdarts/spaces/darts/genotype.hpp>
#include <string>

namespace flowdarts::darts {

/// A wiring diagram in UTF-8 box drawing: a column a state, a row an op, which a line joins to the state it reads; the
/// last row of a cell says what becomes its output. Every line ends with a newline.
std::string draw(const Genotype& genotype);

}  // namespace flowdarts::darts
