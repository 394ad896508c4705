#include <flowdarts/spaces/darts/onnx.hpp>
#include <flowdarts/spaces/darts/published_names.hpp>
#include <flowdarts/spaces/export/stand_alone.hpp>
#include <flowdarts/spaces/mobilenet/onnx.hpp>
#include <flowdarts/spaces/mobilenet/published_names.hpp>
#include <flowdarts/spaces/nas_bench_201/onnx.hpp>
#include <flowdarts/spaces/nas_bench_201/published_names.hpp>

namespace flowdarts {
namespace {

struct ToOnnx {
  const StandAloneSpec& spec;
  const Weights& weights;
  const OnnxOptions& options;

  std::string operator()(const nas_bench_201::Genotype& genotype) const {
    return nas_bench_201::to_onnx(genotype, spec.cells, weights, options);
  }
  std::string operator()(const darts::Genotype& genotype) const {
    return darts::to_onnx(genotype, darts_spec(spec), weights, options);
  }
  std::string operator()(const mobilenet::Genotype& genotype) const {
    return mobilenet::to_onnx(genotype, spec.stem_stride, weights, options);
  }
};

struct PublishedModules {
  const StandAloneSpec& spec;

  ModuleNames operator()(const nas_bench_201::Genotype& /*genotype*/) const {
    return nas_bench_201::published_modules(spec.cells);
  }
  ModuleNames operator()(const darts::Genotype& genotype) const {
    return darts::published_modules(genotype, darts_spec(spec));
  }
  ModuleNames operator()(const mobilenet::Genotype& /*genotype*/) const { return mobilenet::published_modules(); }
};

}  // namespace

std::string to_onnx(const StandAlone& network, const Weights& weights, const OnnxOptions& options) {
  return std::visit(ToOnnx{network.spec, weights, options}, network.architecture);
}

ModuleNames published_modules(const StandAlone& network) {
  return std::visit(PublishedModules{network.spec}, network.architecture);
}

}  // namespace flowdarts
