#include <algorithm>
#include <flowdarts/spaces/darts/draw.hpp>

namespace flowdarts::darts {
namespace {

constexpr int spacing = 5;        // between the columns of two states
constexpr int first_column = 26;  // that of state 0

int column_of(int state) {
  return first_column + spacing * state;
}

std::string state_name(int state) {
  return state == 0 ? "k-2" : state == 1 ? "k-1" : std::to_string(state - input_states);
}

/// `text` and spaces up to `columns` characters; the text is ASCII.
std::string padded(std::string text, int columns) {
  text.resize(std::max(text.size(), static_cast<std::size_t>(columns)), ' ');
  return text;
}

void draw_input(std::string& picture, const Cell& cell, std::size_t i) {
  const auto node = static_cast<int>(i / 2);
  const Input& input = cell.inputs[i];
  std::string line = padded(i % 2 == 0 ? std::to_string(node) : "", 3) + (i % 2 == 0 ? "= " : "+ ");
  line = padded(line + std::string(name_of(input.op)), first_column - 7) + "◀";
  const int last = column_of(node + 1);  // the states up to here exist by now
  for (int x = first_column - 6; x <= last; ++x) {
    const bool state = x >= first_column && (x - first_column) % spacing == 0;
    const int end = column_of(input.state);
    line += x < end ? (state ? "┼" : "─") : x == end ? "●" : state ? "│" : " ";
  }
  picture += line + "\n";
}

void draw_cell(std::string& picture, const std::string& name, const Cell& cell) {
  std::string header = name + " cell", output = "output";
  for (int state = 0; state < cell.nodes() + input_states; ++state) {
    const std::string text = state_name(state);
    const int start = column_of(state) - static_cast<int>(text.size()) / 2;
    header = padded(header, start) + text;
    if (std::ranges::find(cell.concat, state) != cell.concat.end()) output = padded(output, start) + text;
  }
  picture += header + "\n";
  for (std::size_t i = 0; i < cell.inputs.size(); ++i) draw_input(picture, cell, i);
  picture += output + "\n";
}

}  // namespace

std::string draw(const Genotype& genotype) {
  std::string picture;
  draw_cell(picture, "normal", genotype.normal);
  picture += "\n";
  draw_cell(picture, "reduction", genotype.reduce);
  return picture;
}

}  // namespace flowdarts::darts
