#include <array>
#include <flowdarts/spaces/nas_bench_201/draw.hpp>
#include <string_view>
#include <vector>

namespace flowdarts::nas_bench_201 {
namespace {

constexpr int width = 78;

/// A grid of characters, one cell a column of the terminal.
class Canvas {
 public:
  explicit Canvas(std::size_t height) : rows_(height) {
    for (auto& row : rows_) row.fill(U' ');
  }

  void put(std::size_t y, int x, std::u32string_view text) {
    for (const char32_t c : text) rows_[y].at(static_cast<std::size_t>(x++)) = c;
  }

  /// A horizontal line over columns [from, to) with the op's name in its middle.
  void edge(std::size_t y, int from, int to, Op op) {
    const std::string_view name = name_of(op);
    for (int x = from; x < to; ++x) put(y, x, op == Op::none ? U"╌" : U"─");
    const int start = from + (to - from - static_cast<int>(name.size())) / 2;
    put(y, start - 1, std::u32string(name.size() + 2, U' '));
    put(y, start, std::u32string(name.begin(), name.end()));
  }

  [[nodiscard]] std::string text() const {
    std::string text;
    for (const auto& row : rows_) {
      std::string line;
      std::size_t end = 0;
      for (const char32_t c : row) {
        if (c < 0x80) {
          line += static_cast<char>(c);
        } else {  // all of box drawing takes three bytes of UTF-8
          line += static_cast<char>(0xE0U | (c >> 12U));
          line += static_cast<char>(0x80U | ((c >> 6U) & 0x3FU));
          line += static_cast<char>(0x80U | (c & 0x3FU));
        }
        if (c != U' ') end = line.size();
      }
      text.append(line, 0, end).append("\n");
    }
    return text;
  }

 private:
  std::vector<std::array<char32_t, width>> rows_;
};

}  // namespace

// Edges between neighbours run in the nodes' row, 2<-0 above it, 3<-1 and 3<-0 below: no two of them cross.
std::string draw(const Genotype& genotype) {
  const auto& [op10, op20, op21, op30, op31, op32] = genotype.ops;
  constexpr std::array node{0, 24, 48, 72};  // the left border of each box, five columns wide
  const auto middle = [&node](std::size_t i) { return node[i] + 2; };
  Canvas canvas(7);
  for (std::size_t i = 0; i < node.size(); ++i) {
    canvas.put(1, node[i], U"┌───┐");
    canvas.put(2, node[i], U"│   │");
    canvas.put(2, middle(i), std::u32string(1, U'0' + static_cast<char32_t>(i)));
    canvas.put(3, node[i], U"└───┘");
  }
  const auto right = [&](std::size_t from, Op op) {
    canvas.edge(2, node[from] + 5, node[from + 1] - 1, op);
    canvas.put(2, node[from + 1] - 1, U"▶");
  };
  right(0, op10);
  right(1, op21);
  right(2, op32);

  canvas.edge(0, middle(0) + 1, middle(2), op20);
  canvas.put(0, middle(0), U"┌");
  canvas.put(0, middle(2), U"┐");
  canvas.put(1, middle(0), U"┴");
  canvas.put(1, middle(2), U"▼");

  canvas.edge(4, middle(1) + 1, middle(3), op31);
  canvas.put(3, middle(1), U"┬");
  canvas.put(4, middle(1), U"└");
  canvas.put(3, middle(3), U"▲");
  canvas.put(4, middle(3), U"┤");

  canvas.edge(5, middle(0) + 1, middle(3), op30);
  canvas.put(3, middle(0), U"┬");
  canvas.put(4, middle(0), U"│");
  canvas.put(5, middle(0), U"└");
  canvas.put(5, middle(3), U"┘");
  canvas.put(6, node[0], U"input");
  canvas.put(6, node[3], U"output");
  return canvas.text();
}

}  // namespace flowdarts::nas_bench_201
