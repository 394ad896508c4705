#include <flowdarts/spaces/mobilenet/draw.hpp>

namespace flowdarts::mobilenet {
namespace {

std::string mbconv(int kernel, int expansion) {
  const std::string side = std::to_string(kernel);
  return "MBConv" + std::to_string(expansion) + " " + side + "x" + side;
}

}  // namespace

std::string draw(const Genotype& genotype) {
  std::string text = "stem        ── conv 3x3 ── " + mbconv(3, 1);
  for (int layer = 0; layer < layer_count; ++layer) {
    if (begins_stage(layer)) {
      text += "\nstage " + std::to_string(stage_of(layer)) + (stride_of(layer) == 2 ? "  /2" : "    ");
    }
    const Op op = genotype.ops[static_cast<std::size_t>(layer)];
    text += op == Op::skip ? " ╌╌╌╌╌ skip ╌╌╌" : " ── " + mbconv(kernel_of(op), expansion_of(op));
  }
  return text + "\nhead        ── conv 1x1 ── average pool ── linear\n";
}

}  // namespace flowdarts::mobilenet
