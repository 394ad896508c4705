#include <flowdarts/spaces/mobilenet/chain.hpp>
#include <flowdarts/spaces/mobilenet/published_names.hpp>

namespace flowdarts::mobilenet {
namespace {

void add_conv_norm(ModuleNames& names, const std::string& own, const std::string& published) {
  names[own + "_conv"] = published + ".conv";
  names[own + "_norm"] = published + ".bn";
}

void add_mb_conv(ModuleNames& names, const std::string& own, const std::string& published) {
  add_conv_norm(names, own + ".expand", published + ".inverted_bottleneck");
  add_conv_norm(names, own + ".depthwise", published + ".depth_conv");
  add_conv_norm(names, own + ".project", published + ".point_linear");
}

/// add_layer(names, own, published) adds the modules of a layer.
template <class AddLayer>
ModuleNames network(const AddLayer& add_layer) {
  ModuleNames names{{"backbone.classifier", "classifier.linear"}};
  add_conv_norm(names, "backbone.stem", "first_conv");
  add_conv_norm(names, "backbone.head", "feature_mix_layer");
  add_mb_conv(names, "backbone.stage0", "blocks.0.mobile_inverted_conv");
  for (int layer = 0; layer < layer_count; ++layer) {
    add_layer(names, "backbone.layer" + std::to_string(layer), published_choice(layer));
  }
  return names;
}

}  // namespace

std::string published_choice(int layer) {
  return "blocks." + std::to_string(layer + 1) + ".mobile_inverted_conv";
}

ModuleNames published_modules() {
  return network(add_mb_conv);
}

ModuleNames published_search_modules() {
  return network([](ModuleNames& names, const std::string& own, const std::string& published) {
    for (int op = 0; op < conv_op_count; ++op) {
      add_mb_conv(names, own + ".op" + std::to_string(op), published + ".candidate_ops." + std::to_string(op));
    }
  });
}

}  // namespace flowdarts::mobilenet
