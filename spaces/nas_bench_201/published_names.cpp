#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <flowdarts/spaces/nas_bench_201/published_names.hpp>

namespace flowdarts::nas_bench_201 {
namespace {

/// add_cell(names, own, published) adds the modules of a cell.
template <class AddCell>
ModuleNames network(std::int64_t cells, const AddCell& add_cell) {
  ModuleNames names{{"backbone.stem_conv", "stem.0"},
                    {"backbone.stem_norm", "stem.1"},
                    {"backbone.last_norm", "lastact.0"},
                    {"backbone.classifier", "classifier"}};
  for (std::int64_t block = 0; block < 3 * cells + 2; ++block) {
    const std::string own = "backbone.blocks." + std::to_string(block);
    const std::string published = "cells." + std::to_string(block);
    if (block % (cells + 1) != cells) {
      add_cell(names, own, published);
      continue;
    }
    names[own + ".conv1"] = published + ".conv_a.op.1";
    names[own + ".norm1"] = published + ".conv_a.op.2";
    names[own + ".conv2"] = published + ".conv_b.op.1";
    names[own + ".norm2"] = published + ".conv_b.op.2";
    names[own + ".shortcut"] = published + ".downsample.1";
  }
  return names;
}

void add_op(ModuleNames& names, const std::string& own, const std::string& published) {
  names[own + ".conv"] = published + ".op.1";
  names[own + ".norm"] = published + ".op.2";
}

}  // namespace

ModuleNames published_modules(std::int64_t cells) {
  return network(cells, [](ModuleNames& names, const std::string& own, const std::string& published) {
    for (std::size_t e = 0; e < edges.size(); ++e) {
      add_op(names, own + ".edge" + std::to_string(e), published + ".layers." + std::to_string(e));
    }
  });
}

ModuleNames published_search_modules(std::int64_t cells) {
  return network(cells, [](ModuleNames& names, const std::string& own, const std::string& published) {
    for (std::size_t e = 0; e < edges.size(); ++e) {
      for (std::size_t op = 0; op < op_names.size(); ++op) {
        add_op(names, own + ".edge" + std::to_string(e) + ".op" + std::to_string(op),
               published + ".edges." + std::string(edge_names[e]) + "." + std::to_string(op));
      }
    }
  });
}

}  // namespace flowdarts::nas_bench_201
