#include <flowdarts/spaces/nas_bench_201/draw.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"

namespace flowdarts::app {

namespace nb201 = nas_bench_201;

namespace {

std::string with_thousands(std::int64_t value) {
  std::string digits = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return digits;
}

}  // namespace

void Info::declare(CLI::App& command) {
  command.add_option("--space", space, "Search space: nas-bench-201")->capture_default_str();
  command.add_option("--genotype", genotype, "Architecture string, run directory or genotype.json")->required();
  command.add_option("--channels", shape.channels, "Width of the first stage")->capture_default_str();
  command.add_option("--cells", shape.cells, "Cells per stage")->capture_default_str();
  command.add_option("--classes", shape.classes, "Classes")->capture_default_str();
  command.add_option("--image-size", shape.image_size, "Side of the images in pixels")->capture_default_str();
  command.add_flag("--json", json, "Print one JSON object");
}

void Info::run() const {
  if (space != nb201::space_name) {
    throw InputError("--space: found " + quote(space) + ", expected " + quote(nb201::space_name));
  }
  const nb201::Genotype cell = genotype_from(genotype);
  const nb201::NetworkCounts counts = count_network(cell, shape);
  const auto table = nb201::BenchmarkTable::shipped();
  if (json) {
    nlohmann::ordered_json object{
        {"space", space},          {"genotype", to_string(cell)}, {"channels", shape.channels},
        {"cells", shape.cells},    {"classes", shape.classes},    {"image_size", shape.image_size},
        {"params", counts.params}, {"macs", counts.macs}};
    add_accuracies(object, table, cell);
    std::cout << object.dump(2) << "\n";
    return;
  }
  std::cout << to_string(cell) << "\n\n"
            << draw(cell) << "\nStand-alone network: C = " << shape.channels << ", N = " << shape.cells << ", "
            << shape.classes << " classes, images " << shape.image_size << " x " << shape.image_size << "\n"
            << "params " << std::setw(20) << with_thousands(counts.params) << "\n"
            << "MACs   " << std::setw(20) << with_thousands(counts.macs)
            << "\n\nTrue test accuracy (NAS-Bench-201, C = 16, N = 5, 200 epochs)\n";
  print_accuracies(table, cell);
}

}  // namespace flowdarts::app
