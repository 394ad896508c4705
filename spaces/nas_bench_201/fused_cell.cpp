#include <flowdarts/spaces/mixed_op/conv_stack.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/mix_kernels.hpp>
#include <flowdarts/spaces/mixed_op/partial_channels.hpp>
#include <flowdarts/spaces/mixed_op/pointwise.hpp>
#include <flowdarts/spaces/mixed_op/pool_kernels.hpp>
#include <flowdarts/spaces/mixed_op/skip_dropout.hpp>
#include <flowdarts/spaces/nas_bench_201/cell_plan.hpp>
#include <flowdarts/spaces/nas_bench_201/fused_cell.hpp>

#ifdef FLOWDARTS_CUDA
#include <flowdarts/spaces/nas_bench_201/fused_cell_on_gpu.hpp>
#endif

namespace flowdarts::nas_bench_201 {

using mixed_op::Term;

namespace {

/// What the forward pass keeps of a node that others read.
struct NodeState {
  torch::Tensor all;                // its channels
  torch::Tensor x;                  // those that candidates read: the first C / K
  mixed_op::ConvStack convs;        // 3x3
  mixed_op::Covariance covariance;  // where a 1x1 convolution needs it
};

/// A term of a node's mix: where it comes from.
struct NodeTerm {
  enum class Kind { conv_3x3, conv_1x1, skip, pool };
  Term term;  // the output of a 3x3 convolution, else the node read
  Kind kind;
  std::size_t edge;
  int op;
  const StackedConv* conv = nullptr;
  std::optional<mixed_op::PointwiseConv> pointwise = {};  // of a 1x1 convolution
  mixed_op::InputGradient gradient = {};                  // of a convolution's output, once the backward pass knows it

  [[nodiscard]] const mixed_op::Normalisation& norm() const { return pointwise ? pointwise->norm() : *term.norm; }
};

struct CellState : torch::CustomClassHolder {
  std::shared_ptr<const CellPlan> plan;
  std::vector<ConvPlaces> places;  // of the convolutions, in for_each_conv's order
  std::size_t variable_count = 0;
  std::size_t edge_weights_place = mixed_op::Variables::none;
  std::array<double, cell_edges.size()> edge_weights{};  // of the channels that pass by
  SkipDropout dropout;
  std::int64_t cell = 0;  // its number
  std::array<NodeState, source_nodes> nodes;
  std::array<std::vector<NodeTerm>, cell_nodes> terms;  // of each node's mix, those of lower edges first
};

mixed_op::PixelRange pixels_of(const torch::Tensor& x, std::int64_t image) {
  const std::int64_t size = x.size(2) * x.size(3);
  return {image * size, (image + 1) * size};
}

/// A sum over one image of nodes or their gradients times 1x1 weights.
template <class T>
class PointwiseSum {
 public:
  using A = mixed_op::Compute<T>;

  explicit PointwiseSum(std::int64_t channels) : channels_(channels), shift_(static_cast<std::size_t>(channels)) {}
  /// matrix [C, C]: the channel of x first.
  void add(const torch::Tensor& x, bool relu, std::span<const double> matrix) {
    terms_.push_back({mixed_op::rows<const T>(x), relu});
    matrices_.insert(matrices_.end(), matrix.begin(), matrix.end());
  }
  void add_shift(std::span<const double> shift) {
    std::ranges::transform(shift, shift_, shift_.begin(), std::plus<>());
  }
  [[nodiscard]] bool empty() const { return terms_.empty(); }
  [[nodiscard]] std::int64_t scratch() const {
    return mixed_op::pointwise_scratch(channels_, static_cast<std::int64_t>(terms_.size()));
  }

  void operator()(mixed_op::PixelRange pixels, T* out, A* scratch) const {
    const std::vector<A> shift(shift_.begin(), shift_.end());
    mixed_op::pointwise_sum<T>(terms_, matrices_.data(), shift.data(), pixels, channels_, out, scratch);
  }

 private:
  std::int64_t channels_;
  std::vector<mixed_op::PointwiseTerm<T>> terms_;
  std::vector<A> matrices_;
  std::vector<double> shift_;
};

/// A node, or the gradient of one, image by image: weighted terms; pooled ones, for which one pool is enough, as
/// pooling is linear; and products with 1x1 weights.
template <class T>
class NodeSum {
 public:
  using Pool = void (*)(const T* in, const mixed_op::PoolGeometry& geometry, std::int64_t channels, T* out);
  using Rows = mixed_op::Rows<T>;
  using ConstRows = mixed_op::Rows<const T>;

  /// What one image's sum needs room for.
  struct Room {
    std::unique_ptr<T[]> mixed, pooled, pointwise;
    std::unique_ptr<mixed_op::Compute<T>[]> scratch;
  };

  /// `one_pool` is average_pool or its backward pass. like: a tensor of the terms' sizes.
  NodeSum(std::span<const Term> plain, std::span<const Term> pooled, Pool one_pool, PointwiseSum<T> pointwise,
          const torch::Tensor& like)
      : plain_(plain, like.size(1)),
        pooled_(pooled, like.size(1)),
        pools_(!pooled.empty()),
        pool_(one_pool),
        pointwise_(std::move(pointwise)),
        like_(like),
        ones_(static_cast<std::size_t>(like.size(1)), mixed_op::Compute<T>(1)) {}

  [[nodiscard]] Room room() const {
    const auto size = static_cast<std::size_t>(like_.size(1) * like_.size(2) * like_.size(3));
    const auto image = [&](bool needed) { return needed ? std::make_unique_for_overwrite<T[]>(size) : nullptr; };
    return {image(pools_), image(pools_), image(!pointwise_.empty()),
            std::make_unique_for_overwrite<mixed_op::Compute<T>[]>(static_cast<std::size_t>(pointwise_.scratch()))};
  }

  /// The sum of everything.
  void operator()(std::int64_t image, Rows to, const Room& room) const {
    std::vector<mixed_op::ScaledTerm<T>> more = pool(image, room);
    if (!pointwise_.empty()) more.push_back({multiply(image, room), ones_.data()});
    plain_(pixels_of(like_, image), to, {}, more);
  }

  /// The same, but the products, and dx where it is not null, count only where gate > 0.
  void gated(std::int64_t image, Rows to, ConstRows gate, ConstRows dx, const Room& room) const {
    std::vector<ConstRows> gated;
    if (dx) gated.push_back(dx);
    if (!pointwise_.empty()) gated.push_back(multiply(image, room));
    plain_(pixels_of(like_, image), to, {}, pool(image, room), gated, gate);
  }

 private:
  // Rows of one image, told as if the images before it were there.
  [[nodiscard]] ConstRows in_place(std::int64_t image, const T* data) const {
    return ConstRows{data, like_.size(1)}.from(-pixels_of(like_, image).begin);
  }
  [[nodiscard]] std::vector<mixed_op::ScaledTerm<T>> pool(std::int64_t image, const Room& room) const {
    if (!pools_) return {};
    const mixed_op::PixelRange pixels = pixels_of(like_, image);
    pooled_(pixels, Rows{room.mixed.get(), like_.size(1)}.from(-pixels.begin), {});
    pool_(room.mixed.get(), {.height = like_.size(2), .width = like_.size(3)}, like_.size(1), room.pooled.get());
    return {{in_place(image, room.pooled.get()), ones_.data()}};
  }
  [[nodiscard]] ConstRows multiply(std::int64_t image, const Room& room) const {
    pointwise_(pixels_of(like_, image), room.pointwise.get(), room.scratch.get());
    return in_place(image, room.pointwise.get());
  }

  mixed_op::WeightedSum<T> plain_, pooled_;
  bool pools_;
  Pool pool_;
  PointwiseSum<T> pointwise_;
  torch::Tensor like_;
  std::vector<mixed_op::Compute<T>> ones_;
};

bool needs_covariance(const SourcePlan& readers) {
  return std::ranges::any_of(readers.stacks[0],
                             [](const StackedConv& conv) { return conv.op->norm().uses_batch_statistics(); });
}

/// The sum of terms of a mix; `alone`: each with weight 1, whatever it has in the mix.
template <class T>
NodeSum<T> sum_of(std::span<const NodeTerm> terms, bool alone, const torch::Tensor& like) {
  std::vector<Term> plain, pooled;
  PointwiseSum<T> pointwise(like.size(1));
  for (const NodeTerm& term : terms) {
    Term own = term.term;
    if (alone) own.weight = 1.0;
    if (own.weight == 0.0) continue;
    if (term.kind == NodeTerm::Kind::conv_1x1) {
      const auto [matrix, shift] = term.pointwise->contribution(own.weight);
      pointwise.add(own.x, /*relu=*/true, matrix);
      pointwise.add_shift(shift);
    } else {
      (term.kind == NodeTerm::Kind::pool ? pooled : plain).push_back(own);
    }
  }
  return {plain, pooled, mixed_op::average_pool<T>, std::move(pointwise), like};
}

/// Node `j` of the cell, from the terms of its mix and, with partial channels, from those that pass by.
NodeState make_node(const CellState& state, std::size_t j) {
  const NodeState& input = state.nodes[0];
  const bool parted = state.plan->partial > 1;
  NodeState node;
  node.all = mixed_op::empty_channels_last(input.all);
  node.x = parted ? mixed_op::empty_channels_last(input.x) : node.all;
  std::optional<mixed_op::CovarianceSums> covariance;
  if (j < source_nodes && needs_covariance(state.plan->sources[j])) covariance.emplace(node.x);
  const std::int64_t channels = node.all.size(1), mixed = node.x.size(1);
  std::vector<Term> passing;
  for (std::size_t e = 0; parted && e < cell_edges.size(); ++e) {
    if (cell_edges[e].to != static_cast<int>(j)) continue;
    passing.push_back({.x = state.nodes[cell_edges[e].from].all, .first = mixed, .weight = state.edge_weights[e]});
  }
  mixed_op::with_type(node.x.scalar_type(), [&]<class T>() {
    using Rows = mixed_op::Rows<T>;
    const NodeSum<T> sum = sum_of<T>(state.terms[j], /*alone=*/false, node.x);
    const mixed_op::WeightedSum<T> bypass(passing, channels - mixed);
    struct Room {
      typename NodeSum<T>::Room sum;
      std::unique_ptr<T[]> parts;  // of an image: what is mixed, then what passes by
    };
    const auto size = static_cast<std::size_t>(parted ? node.all.size(2) * node.all.size(3) * channels : 0);
    mixed_op::for_each_task(
        node.x.size(0),
        [&] {
          return Room{sum.room(), std::make_unique_for_overwrite<T[]>(size)};
        },
        [&](std::int64_t image, const Room& room) {
          if (parted) {
            const mixed_op::PixelRange pixels = pixels_of(node.x, image);
            const Rows parts = Rows{room.parts.get(), channels}.from(-pixels.begin);
            sum(image, parts, room.sum);
            bypass(pixels, {parts.data + mixed, channels}, {});
            mixed_op::shuffle_channels<T>(parts, pixels, channels, state.plan->partial, mixed_op::rows<T>(node.all),
                                          mixed_op::rows<T>(node.x));
          } else {
            sum(image, mixed_op::rows<T>(node.x), room.sum);
          }
          if (covariance) covariance->add(image);
        });
  });
  if (covariance) node.covariance = covariance->result();
  return node;
}

/// Shows the outputs of the candidates that end in node `j`, as float32 at least and without a graph.
void show_candidates(const CellState& state, std::size_t j, const OutputObserver& observer) {
  const torch::Tensor& like = state.nodes[0].x;
  std::vector<const NodeTerm*> terms;
  for (const NodeTerm& term : state.terms[j]) terms.push_back(&term);
  std::ranges::sort(terms, {}, [](const NodeTerm* term) { return std::pair(term->edge, term->op); });
  for (const NodeTerm* term : terms) {
    torch::Tensor output = state.nodes[cell_edges[term->edge].from].x;
    if (term->kind != NodeTerm::Kind::skip) {
      output = mixed_op::empty_channels_last(like);
      mixed_op::with_type(like.scalar_type(), [&]<class T>() {
        const NodeSum<T> sum = sum_of<T>(std::span(term, 1), /*alone=*/true, like);
        mixed_op::for_each_task(
            like.size(0), [&] { return sum.room(); },
            [&](std::int64_t image, const auto& room) { sum(image, mixed_op::rows<T>(output), room); });
      });
    }
    if (output.scalar_type() == at::kBFloat16) output = output.to(at::kFloat);
    observer(0, static_cast<std::int64_t>(term->edge), term->op, output);
  }
}

// x behind the skip of an edge; with the gradient for x, what that is in front of it.
torch::Tensor behind_skip(const CellState& state, std::size_t edge, const torch::Tensor& x) {
  if (state.dropout.rate == 0) return x;
  const torch::NoGradGuard no_grad;
  return mixed_op::channels_last(drop_skip(x, state.dropout, state.cell, static_cast<std::int64_t>(edge)));
}

/// Adds to the mixes of later nodes what reads node `i`: runs its 3x3 convolutions.
void run_readers(CellState& state, std::size_t i, std::span<const double> op_weights, torch::TensorList variables) {
  NodeState& node = state.nodes[i];
  const torch::Tensor& x = node.x;
  const SourcePlan& plan = state.plan->sources[i];
  const auto add = [&](NodeTerm::Kind kind, std::size_t edge, int op, const torch::Tensor& read) -> NodeTerm& {
    const double weight = op_weights[edge * column::count + op];
    return state.terms[cell_edges[edge].to].emplace_back(
        NodeTerm{.term = {.x = read, .weight = weight}, .kind = kind, .edge = edge, .op = op});
  };
  const auto weight_of = [&](const StackedConv& conv) {
    return variables[state.places[conv.position].weight].detach();
  };
  const auto bias_of = [&](const StackedConv& conv) {
    const std::size_t place = state.places[conv.position].bias;
    return place == mixed_op::Variables::none ? torch::Tensor() : variables[place].detach();
  };
  std::vector<mixed_op::PointwiseConv> points;
  std::vector<mixed_op::Moments> point_moments;
  for (const StackedConv& conv : plan.stacks[0]) {
    points.emplace_back(weight_of(conv), bias_of(conv),
                        conv.op->norm().uses_batch_statistics() ? &node.covariance : nullptr);
    point_moments.push_back(points.back().moments());
  }
  std::vector<mixed_op::ConvStack::Conv> convs;
  bool batch_statistics = false;
  for (const StackedConv& conv : plan.stacks[1]) {
    convs.push_back({weight_of(conv), bias_of(conv)});
    batch_statistics |= conv.op->norm().uses_batch_statistics();
  }
  node.convs = mixed_op::ConvStack(std::move(convs));
  auto outputs = node.convs.forward(x, batch_statistics);
  // One message for all that read the node.
  mixed_op::Exchange exchange;
  for (std::size_t p = 0; p < points.size(); ++p) exchange.add(plan.stacks[0][p].op->norm(), point_moments[p]);
  for (std::size_t c = 0; c < outputs.size(); ++c) exchange.add(plan.stacks[1][c].op->norm(), outputs[c].moments);
  exchange.run();
  for (std::size_t p = 0; p < points.size(); ++p) {
    const StackedConv& conv = plan.stacks[0][p];
    NodeTerm& term = add(NodeTerm::Kind::conv_1x1, conv.edge, column::nor_conv_1x1, x);
    term.conv = &conv;
    term.pointwise = std::move(points[p]);
    term.pointwise->normalise(conv.op->norm(), point_moments[p]);
  }
  for (std::size_t c = 0; c < outputs.size(); ++c) {
    const StackedConv& conv = plan.stacks[1][c];
    NodeTerm& term = add(NodeTerm::Kind::conv_3x3, conv.edge, column::nor_conv_3x3, outputs[c].y);
    term.conv = &conv;
    term.term.norm = mixed_op::normalise(conv.op->norm(), outputs[c].moments);
  }
  for (const std::size_t edge : plan.skips) {
    add(NodeTerm::Kind::skip, edge, column::skip_connect, behind_skip(state, edge, x));
  }
  for (const std::size_t edge : plan.pools) add(NodeTerm::Kind::pool, edge, column::avg_pool_3x3, x);
}

using NodeGradients = std::array<torch::Tensor, cell_nodes>;  // of the nodes, known from the last one down

/// What one pass over a node's gradient g finds for its mix.
struct MixSums {
  std::vector<double> total;     // [C]: the sum of g
  std::vector<double> dots;      // [terms, C]: of g times 3x3 outputs, less their mean, and nodes skipped to
  std::vector<double> pooled;    // [terms, C]: of g spread by the pool's backward pass times nodes that are pooled
  std::vector<double> products;  // [terms, C, C]: of rectified nodes times g

  void operator+=(const MixSums& other) {
    add_vectors(other);
    add(products, other.products);
  }
  /// All but the products.
  void add_vectors(const MixSums& other) {
    add(total, other.total);
    add(dots, other.dots);
    add(pooled, other.pooled);
  }

 private:
  static void add(std::vector<double>& to, const std::vector<double>& from) {
    std::ranges::transform(to, from, to.begin(), std::plus<>());
  }
};

/// A node's sums, in parts that do not depend on the number of threads.
template <class T>
class MixReduction {
 public:
  using A = mixed_op::Compute<T>;

  MixReduction(const torch::Tensor& g, std::span<const NodeTerm* const> dots, std::span<const NodeTerm* const> pools,
               std::span<const NodeTerm* const> points)
      : g_(g), channels_(static_cast<std::size_t>(g.size(1))) {
    centres_.reserve(dots.size());
    for (const NodeTerm* term : dots) {
      const A* centre = nullptr;
      if (term->term.norm) {
        centre = centres_.emplace_back(term->term.norm->mean.begin(), term->term.norm->mean.end()).data();
      }
      dots_.push_back({mixed_op::rows<const T>(term->term.x), centre});
    }
    for (const NodeTerm* term : pools) pools_.push_back({mixed_op::rows<const T>(term->term.x), nullptr});
    for (const NodeTerm* term : points) points_.push_back(mixed_op::rows<const T>(term->term.x));
  }

  [[nodiscard]] MixSums run() const {
    const mixed_op::ImageParts images(g_.size(0), /*most=*/16);  // each has matrices of its own
    std::vector<MixSums> parts(static_cast<std::size_t>(images.count));
    images.for_each([&] { return room(); },
                    [&](std::int64_t part, mixed_op::ImageRange range, const Room& own) {
                      parts[part] = reduce(range.begin, range.end, own);
                    });
    MixSums all = zeros();
    for (const MixSums& part : parts) all += part;
    return all;
  }

 private:
  struct Room {
    std::unique_ptr<T[]> spread;
    std::unique_ptr<A[]> scratch;
  };
  [[nodiscard]] Room room() const {
    const auto image = static_cast<std::size_t>(g_.size(2) * g_.size(3)) * channels_;
    return {pools_.empty() ? nullptr : std::make_unique_for_overwrite<T[]>(image),
            std::make_unique_for_overwrite<A[]>(static_cast<std::size_t>(mixed_op::pointwise_scratch(g_.size(1), 1)))};
  }
  [[nodiscard]] MixSums zeros() const {
    const auto doubles = [&](std::size_t numbers) { return std::vector<double>(numbers); };
    return {doubles(channels_), doubles(dots_.size() * channels_), doubles(pools_.size() * channels_),
            doubles(points_.size() * channels_ * channels_)};
  }

  [[nodiscard]] MixSums reduce(std::int64_t first, std::int64_t end, const Room& room) const {
    const std::int64_t channels = g_.size(1);
    const auto g = mixed_op::rows<const T>(g_);
    MixSums sums = zeros(), image_sums = zeros();
    std::vector<A> products(sums.products.size());
    for (std::int64_t image = first; image < end; ++image) {
      const mixed_op::PixelRange pixels = pixels_of(g_, image);
      if (!pools_.empty()) {
        // sum g pool(x) = sum pool'(g) x, pool' being the backward pass: one for all pools that end here.
        mixed_op::average_pool_backward<T>(g.from(pixels.begin).data, {.height = g_.size(2), .width = g_.size(3)},
                                           channels, room.spread.get());
        const auto spread = mixed_op::Rows<const T>{room.spread.get(), channels}.from(-pixels.begin);
        mixed_op::dots<T>(spread, {}, pools_, pixels, channels, image_sums.total.data(), image_sums.pooled.data());
      }
      mixed_op::dots<T>(g, {}, dots_, pixels, channels, image_sums.total.data(), image_sums.dots.data());
      sums.add_vectors(image_sums);
      for (std::size_t t = 0; t < points_.size(); ++t) {
        mixed_op::outer_products<T>(points_[t], g, pixels, channels, &products[t * channels_ * channels_],
                                    room.scratch.get());
      }
    }
    sums.products.assign(products.begin(), products.end());
    return sums;
  }

  torch::Tensor g_;
  std::size_t channels_;
  std::vector<std::vector<A>> centres_;
  std::vector<mixed_op::CentredTerm<T>> dots_, pools_;
  std::vector<mixed_op::Rows<const T>> points_;
};

class CellBackward {
 public:
  CellBackward(const torch::autograd::AutogradContext& context, CellState& state)
      : state_(state),
        // The variables, and the four arguments of forward() that are none.
        result_(state.variable_count + 4),
        input_needs_(context.needs_input_grad(0)),
        alphas_need_(context.needs_input_grad(1)),
        edge_weights_need_(mixed_op::needs(context, state.edge_weights_place)),
        alpha_gradient_(torch::zeros({edge_count, column::count}, doubles)),
        edge_gradient_(torch::zeros({edge_count, 1}, doubles)) {
    // Weights, biases, gammas and betas are asked for all or none.
    for (std::size_t v = 2; v < state.variable_count; ++v) {
      if (v != state.edge_weights_place) weights_need_ |= context.needs_input_grad(v);
    }
  }

  torch::autograd::variable_list run(const torch::Tensor& output) {
    mixed_op::with_type(output.scalar_type(), [&]<class T>() {
      take_gradient<T>(cell_nodes - 1, mixed_op::channels_last(output));
      mix_backward<T>(cell_nodes - 1);
      for (std::size_t i = source_nodes; i-- > 0;) {
        node_backward<T>(i);
        if (i > 0) mix_backward<T>(i);
      }
    });
    if (alphas_need_) result_[1] = alpha_gradient_;
    if (edge_weights_need_) result_[state_.edge_weights_place] = edge_gradient_;
    return std::move(result_);
  }

 private:
  static constexpr auto doubles = torch::kDouble;
  static constexpr auto edge_count = static_cast<std::int64_t>(cell_edges.size());
  [[nodiscard]] bool node_needs(std::size_t i) const { return i > 0 || input_needs_; }
  // Whether anything follows from the gradient of a convolution's output.
  [[nodiscard]] bool gradient_needed(const NodeTerm& conv) const {
    return weights_need_ || node_needs(cell_edges[conv.edge].from);
  }

  /// What is summed for a convolution's term: g (y - mean) [C], and for a 1x1 convolution the products [C, C].
  struct ConvSums {
    NodeTerm* term;
    std::vector<double> dot;
    std::span<const double> products;
  };

  // Node j's gradient g [B, C]: with partial channels, those of what was mixed and of what passed by, and
  // dL/d(edge weights) of the latter.
  template <class T>
  void take_gradient(std::size_t j, const torch::Tensor& g) {
    if (state_.plan->partial == 1) {
      gradients_[j] = g;
      return;
    }
    const torch::Tensor& x = state_.nodes[0].x;
    const std::int64_t channels = g.size(1), mixed = x.size(1), passing = channels - mixed;
    gradients_[j] = mixed_op::empty_channels_last(x);
    bypass_[j] = mixed_op::empty_channels_last({g.size(0), passing, g.size(2), g.size(3)}, g);
    std::vector<std::size_t> edges;
    std::vector<mixed_op::CentredTerm<T>> terms;
    for (std::size_t e = 0; edge_weights_need_ && e < cell_edges.size(); ++e) {
      if (cell_edges[e].to != static_cast<int>(j)) continue;
      edges.push_back(e);
      terms.push_back({mixed_op::rows<const T>(state_.nodes[cell_edges[e].from].all, mixed), nullptr});
    }
    const mixed_op::Parts parts(mixed_op::pixel_count(g), channels);
    const auto numbers = static_cast<std::size_t>(passing) * (edges.size() + 1);
    std::vector<double> sums(static_cast<std::size_t>(parts.count()) * numbers);
    parts.for_each([&](std::int64_t part, mixed_op::PixelRange pixels) {
      mixed_op::unshuffle_channels<T>(mixed_op::rows<const T>(g), pixels, channels, state_.plan->partial,
                                      mixed_op::rows<T>(gradients_[j]), mixed_op::rows<T>(bypass_[j]));
      if (edges.empty()) return;
      double* own = &sums[static_cast<std::size_t>(part) * numbers];
      mixed_op::dots<T>(mixed_op::rows<const T>(bypass_[j]), {}, terms, pixels, passing, own, own + passing);
    });
    auto gradient = edge_gradient_.accessor<double, 2>();
    for (std::int64_t part = 0; part < parts.count(); ++part) {
      const auto own = std::span(sums).subspan(static_cast<std::size_t>(part) * numbers, numbers);
      for (std::size_t t = 0; t < edges.size(); ++t) {
        for (std::int64_t c = 0; c < passing; ++c) {
          gradient[static_cast<std::int64_t>(edges[t])][0] += own[static_cast<std::size_t>((1 + t) * passing + c)];
        }
      }
    }
  }

  // Node j's mix: dL/d(op weights), dL/dgamma, dL/dbeta, how the gradients of its convolutions' outputs follow, and
  // what is known with that of the 1x1 convolutions' weights.
  template <class T>
  void mix_backward(std::size_t j) {
    std::vector<NodeTerm*> dots, pools, points;
    for (NodeTerm& term : state_.terms[j]) {
      if (!alphas_need_ && !(term.conv != nullptr && gradient_needed(term))) continue;
      switch (term.kind) {
        case NodeTerm::Kind::conv_1x1:
          points.push_back(&term);
          break;
        case NodeTerm::Kind::pool:
          pools.push_back(&term);
          break;
        default:
          dots.push_back(&term);
      }
    }
    const MixSums sums = MixReduction<T>(gradients_[j], dots, pools, points).run();
    const std::size_t channels = sums.total.size();
    const auto of = [&](const std::vector<double>& all, std::size_t term, std::size_t size) {
      return std::span(all).subspan(term * size, size);
    };
    for (std::size_t t = 0; t < pools.size(); ++t) add_alpha_gradient(*pools[t], of(sums.pooled, t, channels));
    std::vector<ConvSums> convs;
    for (std::size_t t = 0; t < dots.size(); ++t) {
      const auto dot = of(sums.dots, t, channels);
      if (dots[t]->kind == NodeTerm::Kind::skip) {
        add_alpha_gradient(*dots[t], dot);
      } else {
        convs.push_back({dots[t], {dot.begin(), dot.end()}, {}});
      }
    }
    for (std::size_t t = 0; t < points.size(); ++t) {
      const auto products = of(sums.products, t, channels * channels);
      convs.push_back({points[t], points[t]->pointwise->dot(sums.total, products), products});
    }
    convs_backward(sums.total, convs);
  }

  void add_alpha_gradient(const NodeTerm& term, std::span<const double> values) {
    auto& gradient = alpha_gradient_.accessor<double, 2>()[static_cast<std::int64_t>(term.edge)][term.op];
    for (const double value : values) gradient += value;
  }

  // A node's convolutions, from the sums of g. What follows for parameters is this process's part; the gradients of the
  // convolutions' outputs follow from the whole batch.
  void convs_backward(std::span<const double> total, std::vector<ConvSums>& convs) {
    for (const ConvSums& conv : convs) parameters_backward(*conv.term, total, conv.dot);
    std::vector<double> whole_total(total.begin(), total.end());
    mixed_op::Exchange exchange;
    bool shared = false;
    for (ConvSums& conv : convs) {
      const auto& sum = conv.term->norm().sum;
      if (!sum || !gradient_needed(*conv.term)) continue;
      if (!std::exchange(shared, true)) exchange.add(sum, whole_total);
      exchange.add(sum, conv.dot);
    }
    exchange.run();
    for (ConvSums& conv : convs) {
      NodeTerm& term = *conv.term;
      term.gradient = mixed_op::input_gradient(term.norm(), term.term.weight, whole_total, conv.dot);
      if (!weights_need_) continue;
      const ConvPlaces& places = state_.places[term.conv->position];
      if (term.pointwise) {
        result_[places.weight] = term.pointwise->weight_gradient(term.gradient, total, conv.products);
      }
      if (places.bias == mixed_op::Variables::none) continue;
      // The bias: the sum of a g + b y + d; with statistics of the batch, which take the bias out again, that is 0.
      std::vector<double> bias(total.size());
      if (!term.norm().batch_statistics) {
        std::ranges::transform(term.gradient.a, total, bias.begin(), std::multiplies<>());
      }
      result_[places.bias] = torch::tensor(bias, doubles);
    }
  }

  void parameters_backward(const NodeTerm& term, std::span<const double> total, std::span<const double> dot) {
    const mixed_op::TermGradient own = mixed_op::term_gradient(term.norm(), term.term.weight, total, dot);
    add_alpha_gradient(term, std::span(&own.weight, 1));
    if (!weights_need_) return;
    const ConvPlaces& places = state_.places[term.conv->position];
    const auto set = [&](std::size_t place, const std::vector<double>& gradient) {
      if (place != mixed_op::Variables::none) result_[place] = torch::tensor(gradient, doubles);
    };
    set(places.gamma, own.gamma);
    set(places.beta, own.beta);
  }

  // What reads node i, and the gradient of node i itself, images by images: the gradients of the convolutions' outputs
  // and inputs never leave the cache.
  template <class T>
  void node_backward(std::size_t i) {
    using namespace mixed_op;
    if (!node_needs(i) && !weights_need_) return;
    const NodeState& node = state_.nodes[i];
    std::vector<Term> skips, pools, passing;
    for (std::size_t e = 0; state_.plan->partial > 1 && e < cell_edges.size(); ++e) {
      if (cell_edges[e].from != static_cast<int>(i)) continue;
      passing.push_back({.x = bypass_[cell_edges[e].to], .weight = state_.edge_weights[e]});
    }
    std::vector<const NodeTerm*> points;
    std::vector<const StackedConv*> convs;
    std::vector<ConvStack::OutputGradient> output_gradients;
    for (const auto& terms : state_.terms) {
      for (const NodeTerm& term : terms) {
        if (cell_edges[term.edge].from != static_cast<int>(i)) continue;
        const torch::Tensor& g = gradients_[cell_edges[term.edge].to];
        switch (term.kind) {
          case NodeTerm::Kind::conv_3x3:  // nodes in order, as in the node's stack
            convs.push_back(term.conv);
            output_gradients.push_back({g, term.term.x, &term.gradient});
            break;
          case NodeTerm::Kind::conv_1x1:
            points.push_back(&term);
            break;
          case NodeTerm::Kind::skip:
            skips.push_back({.x = behind_skip(state_, term.edge, g), .weight = term.term.weight});
            break;
          case NodeTerm::Kind::pool:
            pools.push_back({.x = g, .weight = term.term.weight});
            break;
        }
      }
    }
    torch::Tensor gradient;
    ConvStack::InputGradientSink<T> sink;
    if (node_needs(i)) {
      gradient = empty_channels_last(node.all);
      const auto sum =
          std::make_shared<NodeSum<T>>(skips, pools, average_pool_backward<T>, through<T>(points, node.x), node.x);
      const auto bypass = std::make_shared<WeightedSum<T>>(passing, node.all.size(1) - node.x.size(1));
      const auto write = [sum, bypass, to = rows<T>(gradient), &node](std::int64_t image, Rows<const T> dx,
                                                                      const auto& room) {
        sum->gated(image, to, rows<const T>(node.x), dx, room);
        if (node.all.size(1) > node.x.size(1)) {
          (*bypass)(pixels_of(node.x, image), {to.data + node.x.size(1), to.stride}, {});
        }
      };
      if (convs.empty()) {
        mixed_op::for_each_task(
            node.x.size(0), [&] { return sum->room(); },
            [&](std::int64_t image, const auto& room) { write(image, {}, room); });
      } else {
        sink = [&node, sum, write](std::int64_t first, std::int64_t count, const T* dx) {
          const auto room = sum->room();
          // Told as if the images before it were there.
          const Rows<const T> all = Rows<const T>{dx, node.x.size(1)}.from(-pixels_of(node.x, first).begin);
          for (std::int64_t image = first; image < first + count; ++image) write(image, all, room);
        };
      }
    }
    const auto weight_gradients = node.convs.backward<T>(node.x, output_gradients, weights_need_, sink);
    for (std::size_t c = 0; c < weight_gradients.size(); ++c) {
      result_[state_.places[convs[c]->position].weight] = weight_gradients[c];
    }
    if (i == 0) {
      result_[0] = gradient;
    } else {
      take_gradient<T>(i, gradient);
    }
  }

  // What the gradient of max(x, 0) takes through 1x1 convolutions.
  template <class T>
  PointwiseSum<T> through(std::span<const NodeTerm* const> points, const torch::Tensor& x) const {
    PointwiseSum<T> sum(x.size(1));
    const auto channels = static_cast<std::size_t>(x.size(1));
    std::vector<double> of_g(channels * channels), of_x(channels * channels), shift(channels);
    bool reads_x = false;
    for (const NodeTerm* term : points) {
      term->pointwise->add_input_gradient(term->gradient, of_g, of_x, shift);
      sum.add(gradients_[cell_edges[term->edge].to], /*relu=*/false, of_g);
      reads_x |= term->norm().batch_statistics;
    }
    if (reads_x) sum.add(x, /*relu=*/true, of_x);
    sum.add_shift(shift);
    return sum;
  }

  CellState& state_;
  torch::autograd::variable_list result_;
  bool input_needs_, alphas_need_, edge_weights_need_, weights_need_ = false;
  torch::Tensor alpha_gradient_, edge_gradient_;
  NodeGradients gradients_;  // with partial channels of what is mixed in the nodes
  NodeGradients bypass_;     // of what passes by
};

// Variables: x, the op weights, with partial channels the edges' weights where there are any, then those of the
// convolutions.
class CellFunction : public torch::autograd::Function<CellFunction> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, torch::TensorList variables,
                               const std::shared_ptr<const CellPlan>& plan, const std::vector<ConvPlaces>& places,
                               std::size_t edge_weights_place, const MixedOpPass* pass) {
    auto state = c10::make_intrusive<CellState>();
    state->dropout = pass->dropout;
    state->cell = pass->cell;
    state->plan = plan;
    state->places = places;
    state->variable_count = variables.size();
    state->edge_weights_place = edge_weights_place;
    state->edge_weights.fill(1.0);
    if (edge_weights_place != mixed_op::Variables::none) {
      const torch::Tensor weights = variables[edge_weights_place].detach().to(torch::kDouble).contiguous();
      std::copy_n(weights.const_data_ptr<double>(), cell_edges.size(), state->edge_weights.begin());
    }
    NodeState& input = state->nodes[0];
    input.all = mixed_op::channels_last(variables[0].detach());
    input.x = mixed_op::channels_last(input.all.narrow(1, 0, input.all.size(1) / plan->partial));
    const torch::Tensor op_weights = variables[1].detach().to(torch::kDouble).contiguous();
    const std::span<const double> values(op_weights.const_data_ptr<double>(), op_weights.numel());
    if (needs_covariance(plan->sources[0])) {
      mixed_op::CovarianceSums covariance(input.x);
      mixed_op::for_each_task(input.x.size(0), [&](std::int64_t image) { covariance.add(image); });
      input.covariance = covariance.result();
    }
    torch::Tensor output;
    for (std::size_t j = 1; j < cell_nodes; ++j) {
      run_readers(*state, j - 1, values, variables);
      if (pass->observer) show_candidates(*state, j, pass->observer);
      NodeState node = make_node(*state, j);
      if (j == source_nodes) {
        output = node.all;
      } else {
        state->nodes[j] = std::move(node);
      }
    }
    context->save_for_backward(variables.vec());  // for the check alone that nobody changed them in place
    context->saved_data["state"] = torch::IValue::make_capsule(std::move(state));
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "a fused cell: its gradient is not differentiable");
    context->get_saved_variables();
    const auto state = c10::static_intrusive_pointer_cast<CellState>(context->saved_data["state"].toCapsule());
    return CellBackward(*context, *state).run(outputs[0]);
  }
};

}  // namespace

FusedCell::FusedCell(const SupernetSpec& spec, std::int64_t channels)
    : CandidateCell(spec, channels), channels_(channels) {
  keep({});
}

void FusedCell::keep(const std::vector<bool>& left) {
  auto plan = std::make_shared<CellPlan>();
  plan->channels = channels_;
  plan->partial = partial();
  for (std::size_t e = 0; e < cell_edges.size(); ++e) {
    const auto candidate = [&](int op) -> std::shared_ptr<CandidateOp> {
      return left.empty() || left[e * column::count + op] ? edge(e).candidate(op) : nullptr;
    };
    SourcePlan& source = plan->sources[cell_edges[e].from];
    for (std::size_t s = 0; s < kernels.size(); ++s) {
      if (const auto op = candidate(column_of_kernel(kernels[s]))) {
        const auto slot = static_cast<std::int64_t>(source.stacks[s].size());
        source.stacks[s].push_back({e, slot, 0, std::dynamic_pointer_cast<const ReluConvBn>(op)});
      }
    }
    if (candidate(column::skip_connect)) source.skips.push_back(e);
    if (candidate(column::avg_pool_3x3)) source.pools.push_back(e);
  }
  std::size_t position = 0;
  for (SourcePlan& source : plan->sources) {
    for (auto& stack : source.stacks) {
      for (StackedConv& conv : stack) conv.position = position++;
    }
  }
  plan_ = std::move(plan);
}

torch::Tensor FusedCell::forward(const torch::Tensor& x, const torch::Tensor& op_weights,
                                 const torch::Tensor& edge_weights, MixedOpPass* pass) {
  mixed_op::Variables variables{{x, op_weights}};
  const std::size_t edge_weights_place = variables.add(edge_weights);
  std::vector<ConvPlaces> places;
  for_each_conv(*plan_, [&](const StackedConv& conv) {
    places.push_back({variables.add(conv.op->conv().weight), variables.add(conv.op->conv().bias),
                      variables.add(conv.op->norm().weight()), variables.add(conv.op->norm().bias())});
  });
#ifdef FLOWDARTS_CUDA
  if (x.is_cuda()) return fused_cell_on_gpu(torch::TensorList(variables.tensors), plan_, places);
#endif
  TORCH_CHECK(x.is_cpu(), "a fused cell runs on a CPU or, in a build with FLOWDARTS_CUDA, a GPU, found its input on ",
              x.device());
  const torch::Tensor output =
      CellFunction::apply(torch::TensorList(variables.tensors), plan_, places, edge_weights_place, pass);
  ++pass->cell;
  return output;
}

}  // namespace flowdarts::nas_bench_201
