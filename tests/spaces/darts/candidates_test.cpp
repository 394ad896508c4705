// What looks at single candidates of the supernets, or takes them out: masks, shown outputs.

#include <gtest/gtest.h>

#include <algorithm>
#include <flowdarts/spaces/darts/space.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "../agreement.hpp"
#include "../nas_bench_201/golden_fill.hpp"

namespace flowdarts::darts {
namespace {

using testing::golden;
using testing::golden_fill;
using testing::largest;
using Tensors = std::vector<torch::Tensor>;

/// A normal and two reduction cells of two nodes.
const SupernetSpec small{.channels = 4, .cells = 3, .nodes = 2};
const SupernetSpec partial{.channels = 8, .cells = 3, .nodes = 2, .partial = 2, .edge_weights = true};

torch::Tensor images() {
  return golden({3, 3, 8, 8});
}

/// Of the normal cells and of the reduction cells: everything of one edge is gone, and some ops of others; with edge
/// weights matrices for these.
Tensors masks_of(const Supernet& supernet) {
  Tensors masks;
  for (const ArchShape& shape : supernet.arch_shapes())
    masks.push_back(torch::ones({shape.rows, shape.columns}, torch::kDouble));
  masks[0][1].zero_();
  masks[0][0].slice(0, 2, 6).zero_();
  masks[0][4].slice(0, 0, 7).zero_();
  masks[1][0].slice(0, 3, 5).zero_();
  masks[1][2].zero_();
  masks[1][3].slice(0, 1, 8).zero_();
  return masks;
}

Tensors op_weights_of(const Supernet& supernet) {
  Tensors weights;
  for (const ArchShape& shape : supernet.arch_shapes()) {
    const auto offset = static_cast<std::uint32_t>(1000 * weights.size());
    weights.push_back(competing_softmax(golden({shape.rows, shape.columns}, 0.5, 0.0, offset), shape));
  }
  return weights;
}

struct Gradients {
  torch::Tensor logits;
  Tensors op_weights;
  std::map<std::string, torch::Tensor> weights;  // undefined ones are not there
};

Gradients differentiate(Supernet& supernet, Tensors op_weights) {
  for (torch::Tensor& matrix : op_weights) matrix = matrix.detach().clone().requires_grad_();
  const torch::Tensor logits = supernet.forward(images(), op_weights);
  Tensors inputs = op_weights;
  const auto parameters = supernet.named_parameters();
  for (const auto& parameter : parameters) inputs.push_back(parameter.value());
  const auto all = torch::autograd::grad({logits.square().sum()}, inputs, {}, false, false, /*allow_unused=*/true);
  Gradients result{logits.detach(), {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(op_weights.size())}, {}};
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const torch::Tensor& gradient = all[op_weights.size() + i];
    if (gradient.defined()) result.weights[parameters[i].key()] = gradient;
  }
  return result;
}

template <class Net>
std::shared_ptr<Net> filled(const SupernetSpec& spec) {
  auto net = std::make_shared<Net>(spec);
  golden_fill(*net);
  net->to(torch::kDouble);
  return net;
}

class Candidates : public ::testing::TestWithParam<std::pair<std::string, SupernetSpec>> {
 protected:
  [[nodiscard]] const SupernetSpec& spec() const { return GetParam().second; }
};

// Of ops that are gone no weight has a gradient, and no statistic moves; the rest is as with weights of 0.
TEST_P(Candidates, WhatAMaskTookOutIsNotRun) {
  const auto whole = filled<OracleSupernet>(spec()), oracle = filled<OracleSupernet>(spec());
  const auto fused = filled<FusedSupernet>(spec());
  const Tensors masks = masks_of(*oracle);
  oracle->set_masks(masks);
  fused->set_masks(masks);
  Tensors weights = op_weights_of(*oracle), zeroed = weights;
  for (std::size_t m = 0; m < masks.size(); ++m) zeroed[m] = zeroed[m] * masks[m];
  const Gradients with_zeros = differentiate(*whole, zeroed);
  for (Supernet* net : {static_cast<Supernet*>(oracle.get()), static_cast<Supernet*>(fused.get())}) {
    // The weights of what is gone say nothing.
    const Gradients found = differentiate(*net, weights);
    EXPECT_LE(largest(found.logits - with_zeros.logits), 1e-10 * largest(with_zeros.logits));
    for (std::size_t m = 0; m < masks.size(); ++m) {
      const double scale = largest(with_zeros.op_weights[m]);
      EXPECT_EQ(largest(found.op_weights[m] * (1 - masks[m])), 0.0);
      EXPECT_LE(largest((found.op_weights[m] - with_zeros.op_weights[m]) * masks[m]), 1e-10 * scale);
    }
    std::size_t gone = 0;
    double scale = 0;
    for (const auto& [name, gradient] : with_zeros.weights) scale = std::max(scale, largest(gradient));
    for (const auto& [name, gradient] : with_zeros.weights) {
      const auto own = found.weights.find(name);
      if (own == found.weights.end()) {
        ++gone;
        EXPECT_EQ(largest(gradient), 0.0) << name;
      } else {
        EXPECT_LE(largest(own->second - gradient), 1e-10 * scale) << name;
      }
    }
    EXPECT_GT(gone, 40U);
    const auto means = net->named_buffers(), before = filled<OracleSupernet>(spec())->named_buffers();
    std::size_t unmoved = 0;
    for (const auto& item : means) {
      if (item.key().find("running_mean") == std::string::npos) continue;
      unmoved += torch::equal(item.value(), before[item.key()]) ? 1 : 0;
    }
    EXPECT_GT(unmoved, 20U);
    net->set_masks({});
    EXPECT_LE(largest(differentiate(*net, zeroed).logits - with_zeros.logits), 1e-10 * largest(with_zeros.logits));
  }
}

TEST_P(Candidates, AreShownByBothFormsAlikeBeforeTheirWeights) {
  for (const bool train : {true, false}) {
    SCOPED_TRACE(train ? "train" : "eval");
    using Place = std::tuple<std::size_t, std::int64_t, std::int64_t>;
    using Shown = std::map<Place, Tensors>;
    const auto shown_by = [&](Supernet& net, bool masked) {
      net.train(train);
      if (masked) net.set_masks(masks_of(net));
      Shown shown;
      net.set_output_observer([&](std::size_t matrix, std::int64_t row, std::int64_t column, const torch::Tensor& y) {
        shown[{matrix, row, column}].push_back(y.detach().clone());
      });
      const Tensors weights = op_weights_of(net);
      const torch::Tensor logits = net.forward(images(), weights);
      net.set_output_observer({});
      EXPECT_LE(largest(net.forward(images(), weights) - logits), 1e-12 * largest(logits));
      return shown;
    };
    for (const bool masked : {false, true}) {
      const Shown expected = shown_by(*filled<OracleSupernet>(spec()), masked);
      const Shown found = shown_by(*filled<FusedSupernet>(spec()), masked);
      const Tensors masks = masks_of(OracleSupernet(spec()));
      std::size_t left = 2 * 5 * 7;
      if (masked) {
        left = 0;
        for (std::size_t m = 0; m < 2; ++m) left += masks[m].slice(1, 1).sum().item<double>();
      }
      ASSERT_EQ(expected.size(), left) << "`none` and what is gone has no output";
      ASSERT_EQ(found.size(), left);
      for (const auto& [place, outputs] : expected) {
        const auto& [matrix, row, column] = place;
        ASSERT_EQ(outputs.size(), matrix == 0 ? 1U : 2U) << "one cell is normal, two reduce";
        const auto own = found.find(place);
        ASSERT_NE(own, found.end());
        ASSERT_EQ(own->second.size(), outputs.size());
        for (std::size_t cell = 0; cell < outputs.size(); ++cell) {
          ASSERT_EQ(own->second[cell].sizes(), outputs[cell].sizes());
          EXPECT_EQ(outputs[cell].size(1), spec().channels / spec().partial * (matrix == 0 ? 1 : cell == 0 ? 2 : 4));
          EXPECT_LE(largest(own->second[cell] - outputs[cell]), 1e-9 * (1 + largest(outputs[cell])))
              << "matrix " << matrix << ", edge " << row << ", column " << column;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Specs, Candidates,
                         ::testing::Values(std::pair{std::string("All"), small},
                                           std::pair{std::string("Partial"), partial}),
                         [](const auto& given) { return given.param.first; });

// The output of an op does not hang on its own weight; in bfloat16 it is shown as float32.
TEST(FusedCandidates, AreShownAsTheyAreWithoutTheirWeight) {
  FusedSupernet fused(small, Precision::bf16);
  golden_fill(fused);
  fused.to(torch::kFloat);
  Tensors weights = op_weights_of(fused), first;
  for (torch::Tensor& matrix : weights) matrix = matrix.to(torch::kFloat);
  const auto show = [&] {
    first.clear();
    fused.set_output_observer([&](std::size_t matrix, std::int64_t row, std::int64_t, const torch::Tensor& y) {
      EXPECT_EQ(y.scalar_type(), torch::kFloat);
      if (matrix == 0 && row == 0) first.push_back(y.clone());
    });
    fused.forward(images().to(torch::kFloat), weights);
    return first;
  };
  const Tensors plain = show();
  weights[0] = weights[0] * 3;
  const Tensors tripled = show();
  ASSERT_EQ(plain.size(), 7U);
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(torch::equal(plain[i], tripled[i])) << i;
}

}  // namespace
}  // namespace flowdarts::darts
