#include <flowdarts/spaces/mixed_op/conv_stack.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/pool.hpp>
#include <flowdarts/spaces/nas_bench_201/backbone.hpp>
#include <flowdarts/spaces/nas_bench_201/candidate_cell.hpp>
#include <flowdarts/spaces/nas_bench_201/fused_cell.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <span>
#include <string>

namespace flowdarts::nas_bench_201 {

class OracleCell : public CandidateCell {
 public:
  using CandidateCell::CandidateCell;
};

/// The layers around the cells, in the precision of their input.
struct FusedLayers {
  static torch::Tensor conv(torch::nn::Conv2dImpl& conv, const torch::Tensor& x) {
    return at::conv2d(x, conv.weight.to(x.scalar_type()), {}, conv.options.stride(),
                      std::get<torch::ExpandingArray<2>>(conv.options.padding()));
  }
  static torch::Tensor conv_of_rectified(torch::nn::Conv2dImpl& layer, const torch::Tensor& x) {
    return x.is_cpu() ? relu_conv3x3(x, layer.weight) : conv(layer, x);
  }
  static torch::Tensor halve(const torch::Tensor& x) {
    return average_pool2d(x, {.kernel = 2, .stride = 2, .padding = 0});
  }
  static torch::Tensor norm(BatchNorm& norm, const torch::Tensor& x) { return mix_norm(x, norm); }
  static torch::Tensor norm_relu(BatchNorm& norm, const torch::Tensor& x) { return mix_norm(x, norm, true); }
  static torch::Tensor norm_add(BatchNorm& norm, const torch::Tensor& x, const torch::Tensor& y) {
    const std::array<MixInput, 2> inputs{{{x, &norm}, {y, nullptr}}};
    return mix(inputs);
  }
};

namespace {

std::vector<ArchShape> shapes_of(const SupernetSpec& spec) {
  constexpr std::int64_t edge_count = cell_edges.size();
  std::vector<ArchShape> shapes{{edge_count, column::count}};
  if (spec.edge_weights) shapes.push_back({edge_count, 1, {1, 2, 3}});
  return shapes;
}

void check_op_weights(const std::vector<torch::Tensor>& op_weights, const SupernetSpec& spec) {
  const std::vector<ArchShape> shapes = shapes_of(spec);
  bool fit = op_weights.size() == shapes.size();
  for (std::size_t m = 0; fit && m < shapes.size(); ++m) {
    fit = op_weights[m].sizes() == at::IntArrayRef({shapes[m].rows, shapes[m].columns});
  }
  TORCH_CHECK(fit, "the NAS-Bench-201 supernet takes a [6, 5] matrix of op weights",
              spec.edge_weights ? " and a [6, 1] matrix of edge weights" : "");
}

/// One unbind for the whole network: its backward fills in the zeros of the ops that were not run.
std::vector<torch::Tensor> unbound(const std::vector<torch::Tensor>& op_weights) {
  std::vector<torch::Tensor> weights = op_weights[0].flatten().unbind();
  if (op_weights.size() > 1) {
    const std::vector<torch::Tensor> edges = op_weights[1].flatten().unbind();
    weights.insert(weights.end(), edges.begin(), edges.end());
  }
  return weights;
}

template <class Cell, class Layers>
std::shared_ptr<Backbone<Cell, Layers>> make_backbone(const SupernetSpec& spec) {
  if (spec.partial < 1 || spec.channels % spec.partial != 0) {
    throw InputError("NAS-Bench-201 network: found " + std::to_string(spec.channels) +
                     " channels, expected a multiple of " + std::to_string(spec.partial) +
                     ", the parts of which one is mixed");
  }
  return std::make_shared<Backbone<Cell, Layers>>(spec.channels, spec.cells, spec.classes, [&](std::int64_t channels) {
    return std::make_shared<Cell>(spec, channels);
  });
}

}  // namespace

OracleSupernet::OracleSupernet(const SupernetSpec& spec)
    : spec_(spec), backbone_(register_module("backbone", make_backbone<OracleCell, PlainLayers>(spec))) {}

OracleSupernet::~OracleSupernet() = default;

torch::Tensor OracleSupernet::forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) {
  check_op_weights(op_weights, spec_);
  pass_.cell = 0;
  return backbone_->forward(images, unbound(op_weights), &pass_);
}

std::vector<ArchShape> OracleSupernet::arch_shapes() const {
  return shapes_of(spec_);
}

void OracleSupernet::set_statistics_updates(bool enabled) {
  flowdarts::set_statistics_updates(*this, enabled);
}

void OracleSupernet::share_statistics(const std::shared_ptr<const RankSum>& sum) {
  flowdarts::share_statistics(*this, sum);
  shares_statistics_ = sum != nullptr;
}

FusedSupernet::FusedSupernet(const SupernetSpec& spec, Precision precision)
    : spec_(spec),
      backbone_(register_module("backbone", make_backbone<FusedCell, FusedLayers>(spec))),
      precision_(precision) {}

FusedSupernet::~FusedSupernet() = default;

torch::Tensor FusedSupernet::forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) {
  check_op_weights(op_weights, spec_);
  pass_.cell = 0;
  const bool looks_inside = pass_.observer || pass_.dropout.rate > 0;
  if (!images.is_cpu() && (spec_.partial > 1 || spec_.edge_weights || looks_inside)) {
    return backbone_->forward(images, unbound(op_weights), &pass_);
  }
  // A sum of shuffled terms is the shuffled sum: the weights of edges join those of ops, and nodes are shuffled, not
  // edges.
  const torch::Tensor weights = spec_.edge_weights ? op_weights[0] * op_weights[1] : op_weights[0];
  const torch::Tensor passing = spec_.edge_weights && spec_.partial > 1 ? op_weights[1] : torch::Tensor();
  return backbone_->forward(precision_ == Precision::bf16 ? images.to(torch::kBFloat16) : images, weights, passing,
                            &pass_);
}

void FusedSupernet::set_masks(const std::vector<torch::Tensor>& masks) {
  pass_.set_masks(masks);
  for (const auto& module : backbone_->modules()) {
    if (auto* cell = module->as<FusedCell>()) cell->keep(pass_.left.empty() ? std::vector<bool>() : pass_.left[0]);
  }
}

std::vector<ArchShape> FusedSupernet::arch_shapes() const {
  return shapes_of(spec_);
}

void FusedSupernet::set_statistics_updates(bool enabled) {
  flowdarts::set_statistics_updates(*this, enabled);
}

void FusedSupernet::share_statistics(const std::shared_ptr<const RankSum>& sum) {
  flowdarts::share_statistics(*this, sum);
  shares_statistics_ = sum != nullptr;
}

}  // namespace flowdarts::nas_bench_201
