#include <flowdarts/spaces/darts/published_names.hpp>

namespace flowdarts::darts {
namespace {

void add_factorized_reduce(ModuleNames& names, const std::string& own, const std::string& published) {
  names[own + ".conv1"] = published + ".conv_1";
  names[own + ".conv2"] = published + ".conv_2";
  names[own + ".norm"] = published + ".bn";
}

/// SeparableConv: the DARTS repository has its layers in one row with those before it.
void add_separable_conv(ModuleNames& names, const std::string& own, const std::string& published, int first_layer) {
  const auto layer = [&](int i) { return published + ".op." + std::to_string(first_layer + i); };
  names[own + ".depthwise"] = layer(1);
  names[own + ".pointwise"] = layer(2);
  names[own + ".norm"] = layer(3);
}

void add_op(ModuleNames& names, const std::string& own, const std::string& published, Op op, bool halves) {
  switch (op) {
    case Op::none:
      return;
    case Op::max_pool_3x3:
    case Op::avg_pool_3x3:
      names[own + ".norm"] = published + ".1";
      return;
    case Op::skip_connect:
      if (halves) add_factorized_reduce(names, own, published);
      return;
    case Op::sep_conv_3x3:
    case Op::sep_conv_5x5:
    case Op::sep_conv_7x7:
      add_separable_conv(names, own + ".first", published, 0);
      add_separable_conv(names, own + ".second", published, 4);
      return;
    case Op::dil_conv_3x3:
    case Op::dil_conv_5x5:
      add_separable_conv(names, own + ".conv", published, 0);
      return;
    case Op::conv_7x1_1x7:
      names[own + ".conv1"] = published + ".1";
      names[own + ".conv2"] = published + ".2";
      names[own + ".norm"] = published + ".3";
      return;
  }
}

void add_preprocess(ModuleNames& names, const std::string& own, const std::string& published, bool halves) {
  if (halves) {
    add_factorized_reduce(names, own, published);
  } else {
    names[own + ".conv"] = published + ".op.1";
    names[own + ".norm"] = published + ".op.2";
  }
}

/// add_ops(names, own, published, place) adds the modules of a cell's ops.
template <class AddOps>
ModuleNames network(Stem stem, const std::vector<CellPlace>& places, const AddOps& add_ops) {
  ModuleNames names{{"backbone.last_norm", "lastact.0"}, {"backbone.classifier", "classifier"}};
  const auto add_stem = [&](int i, const std::string& conv, const std::string& norm) {
    const std::string own = "backbone.stem" + std::to_string(i);
    names[own + ".conv"] = conv;
    names[own + ".norm"] = norm;
  };
  if (stem == Stem::cifar) {
    add_stem(0, "stem.0", "stem.1");
  } else {
    add_stem(0, "stem0.0", "stem0.1");
    add_stem(1, "stem0.3", "stem0.4");
    add_stem(2, "stem1.1", "stem1.2");
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::string own = "backbone.cell" + std::to_string(i);
    const std::string published = "cells." + std::to_string(i);
    add_preprocess(names, own + ".preprocess0", published + ".preprocess0", places[i].reduction_prev);
    add_preprocess(names, own + ".preprocess1", published + ".preprocess1", /*halves=*/false);
    add_ops(names, own, published, places[i]);
  }
  return names;
}

}  // namespace

ModuleNames published_modules(const Genotype& genotype, const NetworkSpec& spec) {
  ModuleNames names =
      network(spec.stem, cell_places(spec, genotype),
              [&](ModuleNames& all, const std::string& own, const std::string& published, const CellPlace& place) {
                const Cell& cell = place.reduction ? genotype.reduce : genotype.normal;
                for (std::size_t i = 0; i < cell.inputs.size(); ++i) {
                  const auto& [op, state] = cell.inputs[i];
                  add_op(all, own + ".op" + std::to_string(i), published + "._ops." + std::to_string(i), op,
                         place.reduction && state < input_states);
                }
              });
  names["auxiliary.conv1"] = "auxiliary_head.features.2";
  names["auxiliary.norm1"] = "auxiliary_head.features.3";
  names["auxiliary.conv2"] = "auxiliary_head.features.5";
  names["auxiliary.norm2"] = "auxiliary_head.features.6";
  names["auxiliary.classifier"] = "auxiliary_head.classifier";
  return names;
}

ModuleNames published_search_modules(const SupernetSpec& spec) {
  return network(spec.stem, cell_places(spec),
                 [&](ModuleNames& names, const std::string& own, const std::string& published, const CellPlace& place) {
                   for (int node = 0; node < spec.nodes; ++node) {
                     for (int state = 0; state < node + input_states; ++state) {
                       const std::string edge = std::to_string(first_edge(node) + static_cast<std::size_t>(state));
                       for (std::size_t op = 0; op < candidate_count; ++op) {
                         const int column = spec.column_of(static_cast<Op>(op));
                         if (column < 0) continue;
                         add_op(names, own + ".edge" + edge + ".op" + std::to_string(column),
                                published + "._ops." + edge + "._ops." + std::to_string(column), static_cast<Op>(op),
                                place.reduction && state < input_states);
                       }
                     }
                   }
                 });
}

}  // namespace flowdarts::darts
