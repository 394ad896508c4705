#include <flowdarts/spaces/darts/collapse.hpp>
#include <flowdarts/spaces/darts/count.hpp>
#include <flowdarts/spaces/darts/draw.hpp>
#include <flowdarts/spaces/mobilenet/collapse.hpp>
#include <flowdarts/spaces/mobilenet/count.hpp>
#include <flowdarts/spaces/mobilenet/draw.hpp>
#include <flowdarts/spaces/nas_bench_201/collapse.hpp>
#include <flowdarts/spaces/nas_bench_201/count.hpp>
#include <flowdarts/spaces/nas_bench_201/draw.hpp>
#include <flowdarts/spaces/stand_alone/architecture.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"

namespace flowdarts::app {

namespace nb201 = nas_bench_201;

namespace {

void print_collapse(const CollapseVerdict& verdict) {
  std::cout << "\nCollapse " << (verdict.collapsed() ? "yes: " : "no: ") << verdict.reason() << "\n";
}

std::string with_thousands(std::int64_t value) {
  std::string digits = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return digits;
}

void print_count(std::string_view what, std::int64_t count) {
  std::cout << std::left << std::setw(7) << what << std::right << std::setw(20) << with_thousands(count) << "\n";
}

/// Throws InputError for an option that `space` has no use for.
void refuse_options_of_others(const Info& info, std::string_view space) {
  const auto refuse = [&](bool given, std::string_view option, std::string_view owner) {
    if (!given) return;
    throw InputError(std::string(option) + ": is an option of " + std::string(owner) + ", found the space " +
                     std::string(space));
  };
  if (space != darts::space_name) refuse(info.stem.has_value(), "--stem", "the DARTS space");
  if (space != mobilenet::space_name) {
    refuse(info.widths.has_value(), "--widths", "the MobileNet-like space");
    refuse(info.stem_stride.has_value(), "--stem-stride", "the MobileNet-like space");
  } else {
    refuse(info.channels.has_value(), "--channels", "spaces of cells");
    refuse(info.cells.has_value(), "--cells", "spaces of cells");
  }
}

void inform(const Info& info, const nb201::Genotype& cell) {
  refuse_options_of_others(info, nb201::space_name);
  const nb201::NetworkShape defaults;
  const nb201::NetworkShape shape{.channels = info.channels.value_or(defaults.channels),
                                  .cells = info.cells.value_or(defaults.cells),
                                  .classes = info.classes.value_or(defaults.classes),
                                  .image_size = info.image_size.value_or(defaults.image_size)};
  const nb201::NetworkCounts counts = count_network(cell, shape);
  const auto table = nb201::BenchmarkTable::shipped();
  if (info.json) {
    nlohmann::ordered_json object{{"space", nb201::space_name}, {"genotype", to_string(cell)},
                                  {"channels", shape.channels}, {"cells", shape.cells},
                                  {"classes", shape.classes},   {"image_size", shape.image_size},
                                  {"params", counts.params},    {"macs", counts.macs},
                                  {"depth", counts.depth},      {"collapse", collapse_verdict(cell)}};
    add_accuracies(object, table, cell);
    std::cout << object.dump(2) << "\n";
    return;
  }
  std::cout << to_string(cell) << "\n\n"
            << draw(cell) << "\nStand-alone network: C = " << shape.channels << ", N = " << shape.cells << ", "
            << shape.classes << " classes, images " << shape.image_size << " x " << shape.image_size << "\n";
  print_count("params", counts.params);
  print_count("MACs", counts.macs);
  print_count("depth", counts.depth);
  print_collapse(collapse_verdict(cell));
  std::cout << "\nTrue test accuracy (NAS-Bench-201, C = 16, N = 5, 200 epochs)\n";
  print_accuracies(table, cell);
}

darts::Stem stem_of(const Info& info) {
  if (!info.stem) return darts::Stem::cifar;
  for (const auto& [stem, name] : names_of(darts::Stem())) {
    if (name == *info.stem) return stem;
  }
  throw InputError("--stem: found " + quote(*info.stem) + ", expected \"cifar\" or \"imagenet\"");
}

void inform(const Info& info, const darts::Genotype& genotype) {
  refuse_options_of_others(info, darts::space_name);
  const bool imagenet = stem_of(info) == darts::Stem::imagenet;
  darts::NetworkSpec spec = imagenet ? darts::imagenet_network : darts::cifar_network;
  spec.channels = info.channels.value_or(static_cast<int>(spec.channels));
  spec.cells = info.cells.value_or(static_cast<int>(spec.cells));
  spec.classes = info.classes.value_or(static_cast<int>(spec.classes));
  const int image_size = info.image_size.value_or(imagenet ? 224 : 32);
  const darts::NetworkCounts counts = count_network(genotype, spec, image_size);
  if (info.json) {
    const nlohmann::ordered_json object{{"space", darts::space_name},
                                        {"genotype", to_string(genotype)},
                                        {"stem", name_in_options(spec.stem)},
                                        {"channels", spec.channels},
                                        {"cells", spec.cells},
                                        {"classes", spec.classes},
                                        {"image_size", image_size},
                                        {"params", counts.params},
                                        {"macs", counts.macs},
                                        {"depth", counts.depth},
                                        {"auxiliary_params", counts.auxiliary_params},
                                        {"auxiliary_macs", counts.auxiliary_macs},
                                        {"collapse", collapse_verdict(genotype)}};
    std::cout << object.dump(2) << "\n";
    return;
  }
  std::cout << to_string(genotype) << "\n\n"
            << draw(genotype) << "\nStand-alone network: " << name_in_options(spec.stem)
            << " stem, C = " << spec.channels << ", L = " << spec.cells << ", " << spec.classes << " classes, images "
            << image_size << " x " << image_size << "\n";
  print_count("params", counts.params);
  print_count("MACs", counts.macs);
  print_count("depth", counts.depth);
  std::cout << "\nAuxiliary classifier, in training alone\n";
  print_count("params", counts.auxiliary_params);
  print_count("MACs", counts.auxiliary_macs);
  print_collapse(collapse_verdict(genotype));
}

void inform(const Info& info, const mobilenet::Genotype& genotype) {
  refuse_options_of_others(info, mobilenet::space_name);
  mobilenet::NetworkShape shape;
  if (info.widths) {
    try {
      shape.widths = mobilenet::parse_widths(*info.widths);
    } catch (const InputError& reason) {
      throw InputError(std::string("--widths: ") + reason.what());
    }
  }
  shape.classes = info.classes.value_or(shape.classes);
  shape.image_size = info.image_size.value_or(shape.image_size);
  shape.stem_stride = info.stem_stride.value_or(shape.stem_stride);
  const mobilenet::NetworkCounts counts = count_network(genotype, shape);
  if (info.json) {
    const nlohmann::ordered_json object{{"space", mobilenet::space_name},
                                        {"genotype", to_string(genotype)},
                                        {"widths", to_string(shape.widths)},
                                        {"stem_stride", shape.stem_stride},
                                        {"classes", shape.classes},
                                        {"image_size", shape.image_size},
                                        {"params", counts.params},
                                        {"macs", counts.macs},
                                        {"depth", counts.depth},
                                        {"proxyless", to_proxyless(genotype)},
                                        {"timm", to_timm(genotype, shape.widths)},
                                        {"collapse", collapse_verdict(genotype)}};
    std::cout << object.dump(2) << "\n";
    return;
  }
  std::cout << to_string(genotype) << "\n\n"
            << draw(genotype) << "\nStand-alone network: widths " << to_string(shape.widths) << ", stem of stride "
            << shape.stem_stride << ", " << shape.classes << " classes, images " << shape.image_size << " x "
            << shape.image_size << "\n";
  print_count("params", counts.params);
  print_count("MACs", counts.macs);
  print_count("depth", counts.depth);
  print_collapse(collapse_verdict(genotype));
}

}  // namespace

void Info::declare(CLI::App& command) {
  command.add_option("--space", space,
                     "Search space: nas-bench-201, darts or mobilenet; if not given, the genotype's own");
  command
      .add_option(
          "GENOTYPE,--genotype", genotype,
          "Architecture string, Genotype(...) text of a genotypes.py, layer string, run directory or genotype.json")
      ->required();
  command.add_option("--stem", stem, "DARTS: layers before the cells, cifar (the default) or imagenet");
  command.add_option("--channels", channels, "Width of the first stage (16; DARTS 36, with the ImageNet stem 48)");
  command.add_option("--cells", cells, "Cells per stage (5); DARTS: all cells (20, with the ImageNet stem 14)");
  command.add_option("--widths", widths, "MobileNet-like: channels of the stem, stages 0 to 6 and the head");
  command.add_option("--stem-stride", stem_stride, "MobileNet-like: stride of the stem, 2 (the default) or 1");
  command.add_option("--classes", classes, "Classes (10; with the ImageNet stem and MobileNet-like 1000)");
  command.add_option("--image-size", image_size,
                     "Side of the images in pixels (32; with the ImageNet stem and MobileNet-like 224)");
  command.add_flag("--json", json, "Print one JSON object");
}

void Info::run() const {
  std::visit([this](const auto& architecture) { inform(*this, architecture); }, read_architecture(genotype, space));
}

}  // namespace flowdarts::app
