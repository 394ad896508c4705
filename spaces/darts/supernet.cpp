#include <flowdarts/spaces/darts/backbone.hpp>
#include <flowdarts/spaces/darts/candidate_cell.hpp>
#include <flowdarts/spaces/darts/fused_cell.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <span>

namespace flowdarts::darts {

class OracleCell : public CandidateCell {
 public:
  using CandidateCell::CandidateCell;

  /// weights: the op weights, row by row, each 0-dimensional; edge_weights: one an edge, or none.
  torch::Tensor forward(const torch::Tensor& s0, const torch::Tensor& s1, const std::vector<torch::Tensor>& weights,
                        const std::vector<torch::Tensor>& edge_weights, const MixedOpPass& pass) {
    std::vector<torch::Tensor> states{preprocess(0).forward(s0), preprocess(1).forward(s1)};
    for (int node = 0; node < node_count(); ++node) {
      torch::Tensor sum;
      for (int state = 0; state < node + input_states; ++state) {
        const std::size_t e = first_edge(node) + static_cast<std::size_t>(state);
        torch::Tensor term = edge_forward(e, state, states[static_cast<std::size_t>(state)],
                                          std::span(weights).subspan(e * columns(), columns()), pass);
        if (term.defined() && !edge_weights.empty()) term = term * edge_weights[e];
        add_term(sum, std::move(term));
      }
      if (!sum.defined()) sum = zeros(states[0], stride(0));
      states.push_back(std::move(sum));
    }
    return torch::cat(std::vector<torch::Tensor>(states.begin() + input_states, states.end()), 1);
  }

 private:
  torch::Tensor edge_forward(std::size_t e, int state, const torch::Tensor& x, std::span<const torch::Tensor> weights,
                             const MixedOpPass& pass) {
    const auto row = static_cast<std::int64_t>(e);
    if (partial() == 1) return edge(e).forward(x, weights, pass, kind(), row);
    const std::int64_t own = x.size(1) / partial();
    const torch::Tensor through = x.narrow(1, 0, own);
    torch::Tensor bypass = x.narrow(1, own, x.size(1) - own);
    if (stride(state) == 2) bypass = torch::max_pool2d(bypass, /*kernel_size=*/2, /*stride=*/2);
    torch::Tensor mixed = edge(e).forward(through, weights, pass, kind(), row);
    if (!mixed.defined()) mixed = zeros(through, stride(state));
    return shuffle_channels(torch::cat({mixed, bypass}, 1), partial());
  }

  static torch::Tensor zeros(const torch::Tensor& x, std::int64_t stride) {
    return torch::zeros({x.size(0), x.size(1), x.size(2) / stride, x.size(3) / stride}, x.options());
  }
};

/// The layers around the cells, in the precision of their input.
struct FusedLayers {
  static torch::Tensor conv(torch::nn::Conv2dImpl& conv, const torch::Tensor& x) {
    return at::conv2d(x, conv.weight.to(x.scalar_type()), {}, conv.options.stride(),
                      std::get<torch::ExpandingArray<2>>(conv.options.padding()));
  }
  static torch::Tensor norm(BatchNorm& norm, const torch::Tensor& x) { return mix_norm(x, norm); }
  static torch::Tensor norm_relu(BatchNorm& norm, const torch::Tensor& x) { return mix_norm(x, norm, true); }
};

namespace {

template <class Cell, class Layers>
std::shared_ptr<Backbone<Cell, Layers>> make_backbone(const SupernetSpec& spec) {
  return std::make_shared<Backbone<Cell, Layers>>(spec, cell_places(spec), spec.last_norm, [&](const CellPlace& place) {
    return std::make_shared<Cell>(spec, place);
  });
}

}  // namespace

DartsSupernet::DartsSupernet(const SupernetSpec& spec) : spec_(spec) {
  check(spec);
}

std::vector<ArchShape> DartsSupernet::arch_shapes() const {
  const auto edges = static_cast<std::int64_t>(edge_count(spec_.nodes));
  std::vector<ArchShape> shapes(2, {edges, spec_.columns(), {}});
  if (spec_.edge_weights) {
    ArchShape shape{edges, 1, {}};
    for (int node = 0; node < spec_.nodes; ++node) shape.row_groups.push_back(node + input_states);
    shapes.insert(shapes.end(), 2, shape);
  }
  return shapes;
}

void DartsSupernet::set_statistics_updates(bool enabled) {
  flowdarts::set_statistics_updates(*this, enabled);
}

void DartsSupernet::share_statistics(const std::shared_ptr<const RankSum>& sum) {
  flowdarts::share_statistics(*this, sum);
}

void DartsSupernet::set_skip_dropout(const SkipDropout& dropout) {
  std::uint64_t position = 0;
  apply([&](torch::nn::Module& module) {
    if (auto* skip = module.as<SkipConnect>()) skip->set_dropout(at_place(dropout, position++));
  });
}

void DartsSupernet::set_masks(const std::vector<torch::Tensor>& masks) {
  if (!masks.empty()) check_op_weights(masks);
  pass_.set_masks(masks);
}

void DartsSupernet::check_op_weights(const std::vector<torch::Tensor>& op_weights) const {
  const std::vector<ArchShape> shapes = arch_shapes();
  TORCH_CHECK(op_weights.size() == shapes.size(), "the DARTS supernet takes ", shapes.size(),
              " matrices of op weights, found ", op_weights.size());
  for (std::size_t m = 0; m < shapes.size(); ++m) {
    TORCH_CHECK(op_weights[m].sizes() == at::IntArrayRef({shapes[m].rows, shapes[m].columns}),
                "the DARTS supernet: matrix ", m, " of op weights: found ", op_weights[m].sizes(), ", expected [",
                shapes[m].rows, ", ", shapes[m].columns, "]");
  }
}

OracleSupernet::OracleSupernet(const SupernetSpec& spec)
    : DartsSupernet(spec), backbone_(register_module("backbone", make_backbone<OracleCell, PlainLayers>(spec))) {}

OracleSupernet::~OracleSupernet() = default;

torch::Tensor OracleSupernet::forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) {
  check_op_weights(op_weights);
  // One unbind for the whole network: its backward fills in the zeros of the ops that were not run.
  std::vector<std::vector<torch::Tensor>> weights;
  for (const torch::Tensor& matrix : op_weights) weights.push_back(matrix.flatten().unbind());
  weights.resize(4);
  return backbone_->forward(
      images, [&](OracleCell& cell, std::size_t /*index*/, const torch::Tensor& s0, const torch::Tensor& s1) {
        return cell.forward(s0, s1, weights[cell.kind()], weights[2 + cell.kind()], pass_);
      });
}

FusedSupernet::FusedSupernet(const SupernetSpec& spec, Precision precision)
    : DartsSupernet(spec),
      backbone_(register_module("backbone", make_backbone<FusedCell, FusedLayers>(spec))),
      precision_(precision) {}

FusedSupernet::~FusedSupernet() = default;

torch::Tensor FusedSupernet::forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) {
  check_op_weights(op_weights);
  // Two cells read an output, and both begin with a ReLU: the cell that gives it does it. The first two cells read what
  // the stem gives.
  torch::Tensor stem, rectified_stem;
  const auto rectified = [&](const torch::Tensor& x) {
    if (!x.is_same(stem)) {
      stem = x;
      rectified_stem = torch::relu(mixed_op::channels_last(x));
    }
    return rectified_stem;
  };
  const auto cells = static_cast<std::size_t>(spec_.cells);
  return backbone_->forward(precision_ == Precision::bf16 ? images.to(torch::kBFloat16) : images,
                            [&](FusedCell& cell, std::size_t index, const torch::Tensor& s0, const torch::Tensor& s1) {
                              const torch::Tensor x0 = index < 2 ? rectified(s0) : s0,
                                                  x1 = index < 1 ? rectified(s1) : s1;
                              return cell.forward(x0, x1, op_weights[cell.kind()],
                                                  spec_.edge_weights ? op_weights[2 + cell.kind()] : torch::Tensor(),
                                                  /*rectify=*/index + 1 < cells, pass_.observer);
                            });
}

void FusedSupernet::compose() {
  for (const auto& module : backbone_->modules()) {
    if (auto* cell = module->as<FusedCell>()) cell->compose();
  }
}

void FusedSupernet::set_masks(const std::vector<torch::Tensor>& masks) {
  DartsSupernet::set_masks(masks);
  for (const auto& module : backbone_->modules()) {
    if (auto* cell = module->as<FusedCell>())
      cell->keep(masks.empty() ? std::vector<bool>() : pass_.left[cell->kind()]);
  }
}

}  // namespace flowdarts::darts
