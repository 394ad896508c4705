// Mix against LibTorch's batch norm, multiplication, addition and ReLU.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <memory>
#include <ostream>
#include <string>

#include "layers.hpp"

namespace flowdarts {
namespace {

using testing::expect_close;
using testing::expect_same_bits;
using ::testing::HasSubstr;
using testing::random_images;
using testing::Tensors;
using ::testing::ThrowsMessage;
using testing::tolerance;

/// The batch norm of one input, if it has one.
using NormKind = std::optional<BatchNormOptions>;
constexpr NormKind no_norm = std::nullopt;
constexpr NormKind plain{BatchNormOptions{.affine = false}};
constexpr NormKind affine{BatchNormOptions{}};
constexpr NormKind untracked{BatchNormOptions{.affine = false, .track_running_stats = false}};
constexpr NormKind affine_untracked{BatchNormOptions{.track_running_stats = false}};

const std::vector<NormKind> every_kind{no_norm, plain, affine, untracked, affine_untracked, no_norm};

struct Case {
  std::int64_t batch, channels, height, width;
  std::vector<NormKind> norms = every_kind;
  bool weighted = true;  // the second weight is 0
  bool relu = false;
  bool train = true;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "[" << c.batch << ", " << c.channels << ", " << c.height << ", " << c.width << "], " << c.norms.size()
             << " inputs" << (c.weighted ? ", weighted" : "") << (c.relu ? ", relu" : "")
             << (c.train ? ", train" : ", eval");
}

/// What a mix reads and what its gradients are asked of.
struct Problem {
  Case c;
  Tensors xs;
  torch::Tensor weights, g;
  std::vector<std::shared_ptr<BatchNorm>> norms;  // null: none

  Problem(const Case& which, torch::Dtype type) : c(which) {
    torch::manual_seed(11);
    const auto images = [&] { return random_images(c.batch, c.channels, c.height, c.width, type); };
    const torch::Dtype wide = type == torch::kBFloat16 ? torch::kFloat : type;
    const auto per_channel = [&] { return torch::rand({c.channels}, torch::kDouble).add_(0.5).to(wide); };
    g = images();
    for (const NormKind& kind : c.norms) {
      xs.push_back((images() * 2 + 0.5).requires_grad_());
      norms.push_back(kind ? std::make_shared<BatchNorm>(c.channels, *kind) : nullptr);
      if (!kind) continue;
      const torch::NoGradGuard no_grad;
      norms.back()->to(wide);
      norms.back()->train(c.train);
      for (torch::Tensor& value : norms.back()->parameters()) value.copy_(per_channel());
      for (torch::Tensor& value : norms.back()->buffers()) value.copy_(per_channel());
    }
    if (!c.weighted) return;
    weights = torch::randn({static_cast<std::int64_t>(xs.size())}, torch::kDouble).to(wide);
    if (weights.numel() > 1) weights[1] = 0.0;
    weights.requires_grad_();
  }

  /// The same numbers in double, contiguous: what LibTorch computes the exact result from.
  [[nodiscard]] Problem in_double() const {
    Problem exact(c, torch::kDouble);
    const torch::NoGradGuard no_grad;
    exact.g = g.to(torch::kDouble).contiguous();
    for (std::size_t k = 0; k < xs.size(); ++k) {
      exact.xs[k] = xs[k].detach().to(torch::kDouble).contiguous().requires_grad_();
      if (!norms[k]) continue;
      for (std::size_t i = 0; i < norms[k]->parameters().size(); ++i) {
        exact.norms[k]->parameters()[i].copy_(norms[k]->parameters()[i]);
      }
      for (std::size_t i = 0; i < norms[k]->buffers().size(); ++i) {
        exact.norms[k]->buffers()[i].copy_(norms[k]->buffers()[i]);
      }
    }
    if (c.weighted) exact.weights = weights.detach().to(torch::kDouble).requires_grad_();
    return exact;
  }

  [[nodiscard]] torch::Tensor ours() const {
    std::vector<MixInput> inputs;
    for (std::size_t k = 0; k < xs.size(); ++k) inputs.push_back({xs[k], norms[k].get()});
    return mix(inputs, weights, c.relu);
  }

  [[nodiscard]] torch::Tensor theirs() const {
    torch::Tensor sum = torch::zeros_like(xs[0]);
    for (std::size_t k = 0; k < xs.size(); ++k) {
      const torch::Tensor term = norms[k] ? norms[k]->forward(xs[k]) : xs[k];
      sum = sum + (c.weighted ? term * weights[static_cast<std::int64_t>(k)] : term);
    }
    return c.relu ? sum.relu() : sum;
  }

  /// The inputs, then the weights, then gamma and beta of every norm that has them.
  [[nodiscard]] Tensors variables() const {
    Tensors all = xs;
    if (c.weighted) all.push_back(weights);
    for (const auto& norm : norms) {
      if (!norm) continue;
      for (const auto& parameter : norm->parameters()) all.push_back(parameter);
    }
    return all;
  }

  /// The result, its gradients and the running statistics behind the pass.
  [[nodiscard]] Tensors results(const torch::Tensor& out) const {
    Tensors all = torch::autograd::grad({out}, variables(), {g});
    all.insert(all.begin(), out.detach());
    for (const auto& norm : norms) {
      if (!norm) continue;
      for (const auto& buffer : norm->buffers()) all.push_back(buffer.clone());
    }
    return all;
  }
};

void expect_agreement(const Case& c, torch::Dtype type) {
  SCOPED_TRACE(::testing::PrintToString(c) + ", " + c10::toString(type));
  const Problem problem(c, type);
  const Problem exact = problem.in_double();
  const torch::Tensor out = problem.ours();
  EXPECT_EQ(out.scalar_type(), type);
  EXPECT_TRUE(out.is_contiguous(torch::MemoryFormat::ChannelsLast));
  const Tensors actual = problem.results(out);
  const Tensors variables = problem.variables();
  for (std::size_t i = 0; i < variables.size(); ++i) {
    EXPECT_EQ(actual[i + 1].scalar_type(), variables[i].scalar_type());
  }
  expect_close(actual, exact.results(exact.theirs()), tolerance(type));
}

TEST(Mix, AgreesWithLibTorch) {
  for (const auto type : {torch::kDouble, torch::kFloat, torch::kBFloat16}) {
    for (const bool train : {true, false}) {
      for (const bool relu : {false, true}) {
        for (const bool weighted : {false, true}) {
          const auto with = [&](Case c) {
            c.train = train;
            c.relu = relu;
            c.weighted = weighted;
            expect_agreement(c, type);
          };
          with({3, 16, 7, 5});
          with({1, 3, 5, 5});
          with({2, 1, 3, 9});
          with({2, 20, 6, 4});
          with({1, 33, 4, 7});
          with({2, 96, 3, 3});
          with({4, 20, 33, 31});  // several parts
          with({2, 5, 4, 3, {no_norm}});
          with({2, 5, 4, 3, {no_norm, no_norm, no_norm}});
          for (const NormKind& kind : {plain, affine, untracked, affine_untracked}) with({2, 5, 4, 3, {kind}});
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST(Mix, OneNormIsAMixOfOne) {
  for (const auto type : {torch::kDouble, torch::kFloat, torch::kBFloat16}) {
    for (const bool relu : {false, true}) {
      const Case c{2, 20, 6, 4, {affine}, /*weighted=*/false, relu};
      const Problem one(c, type), mixed(c, type);
      expect_same_bits(one.results(mix_norm(one.xs[0], *one.norms[0], relu)), mixed.results(mixed.ours()));
    }
  }
}

TEST(Mix, FrozenStatisticsStay) {
  const Problem problem({2, 5, 4, 3}, torch::kDouble);
  const Problem exact = problem.in_double();
  for (const Problem* p : {&problem, &exact}) {
    for (const auto& norm : p->norms) {
      if (norm) norm->set_statistics_updates(false);
    }
  }
  const torch::Tensor before = problem.norms[1]->running_mean().clone();
  expect_close(problem.results(problem.ours()), exact.results(exact.theirs()), 1e-10);
  EXPECT_TRUE(torch::equal(problem.norms[1]->running_mean(), before));
}

TEST(Mix, AnInputOfWeightZeroGetsAZeroGradient) {
  const Problem problem({2, 5, 4, 3}, torch::kFloat);
  const Tensors results = problem.results(problem.ours());
  EXPECT_TRUE(torch::equal(results[2], torch::zeros_like(problem.xs[1])));
  EXPECT_NE(results[1 + problem.xs.size()][1].item<float>(), 0.0F);  // while its weight has one
}

TEST(Mix, ComputesTheGradientsAskedFor) {
  const Problem problem({2, 5, 4, 3}, torch::kDouble);
  const Tensors variables = problem.variables();
  const torch::Tensor out = problem.ours();
  const Tensors all = torch::autograd::grad({out}, variables, {problem.g}, /*retain_graph=*/true);
  for (std::size_t i = 0; i < variables.size(); ++i) {
    const Tensors alone = torch::autograd::grad({out}, {variables[i]}, {problem.g}, /*retain_graph=*/true);
    expect_same_bits(alone, {all[i]});
  }
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(problem.ours().requires_grad());
}

TEST(Mix, TakesAnyMemoryFormat) {
  const Problem problem({2, 6, 5, 7}, torch::kDouble);
  const Tensors expected = problem.results(problem.ours());
  Problem other({2, 6, 5, 7}, torch::kDouble);
  const torch::NoGradGuard no_grad;
  for (auto& x : other.xs) {
    const torch::Tensor nchw = x.detach().contiguous();
    x = torch::cat({nchw, nchw}, 3).slice(3, 0, 7).requires_grad_();
  }
  other.g = other.g.contiguous();
  const torch::AutoGradMode grad(true);
  expect_same_bits(other.results(other.ours()), expected);
}

TEST(Mix, GradientsAreThoseOfDifferences) {
  constexpr double step = 1e-6;
  for (const bool train : {true, false}) {
    for (const bool relu : {false, true}) {
      const Case c{2, 3, 3, 2, every_kind, true, relu, train};
      SCOPED_TRACE(::testing::PrintToString(c));
      const Problem problem(c, torch::kDouble);
      for (const auto& norm : problem.norms) {
        if (norm) norm->set_statistics_updates(false);
      }
      const Tensors variables = problem.variables();
      const Tensors gradients = torch::autograd::grad({problem.ours()}, variables, {problem.g});
      const torch::NoGradGuard no_grad;
      for (std::size_t i = 0; i < variables.size(); ++i) {
        SCOPED_TRACE("variable " + std::to_string(i));
        // Element by element of the variable's memory, so that nothing is copied.
        const torch::Tensor values = variables[i].detach().as_strided({variables[i].numel()}, {1});
        torch::Tensor differences = torch::empty_like(variables[i]);
        const torch::Tensor to = differences.as_strided({variables[i].numel()}, {1});
        for (std::int64_t j = 0; j < values.numel(); ++j) {
          const double value = values[j].item<double>();
          const auto loss_at = [&](double moved) {
            values[j] = moved;
            return (problem.g * problem.ours()).sum().item<double>();
          };
          to[j] = (loss_at(value + step) - loss_at(value - step)) / (2 * step);
          values[j] = value;
        }
        expect_close(gradients[i], differences, 1e-7);
      }
    }
  }
}

TEST(Mix, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    for (const Case& c : {Case{8, 20, 33, 31}, Case{5, 33, 32, 32, {affine}, false, true}}) {
      SCOPED_TRACE(::testing::PrintToString(c));
      testing::expect_same_for_any_threads([&] {
        const Problem problem(c, type);
        return problem.results(problem.ours());
      });
    }
  }
}

TEST(Mix, EveryInstructionSetAgrees) {
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kBFloat16}) {
    testing::expect_variants_agree(
        [&] {
          const Problem problem({2, 33, 17, 19}, type);
          return problem.results(problem.ours());
        },
        type == torch::kDouble  ? 1e-12
        : type == torch::kFloat ? 1e-5
                                : 1e-2);
  }
}

TEST(Mix, IsAccurateOver65536SamplesFarFromZero) {
  Problem problem({64, 3, 32, 32, {plain, affine}}, torch::kFloat);
  {
    const torch::NoGradGuard no_grad;
    for (auto& x : problem.xs) x = (x.detach() - 0.5).div_(2).add_(100).requires_grad_();
  }
  const Problem exact = problem.in_double();
  expect_close(problem.results(problem.ours()), exact.results(exact.theirs()), 1e-5);
}

TEST(Mix, LetsNanThrough) {
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kBFloat16}) {
    for (const bool relu : {false, true}) {
      const Problem problem({2, 20, 5, 4, {plain, no_norm}, /*weighted=*/false, relu}, type);
      const torch::NoGradGuard no_grad;
      problem.xs[0].detach()[0][3][2][2] = NAN;
      problem.xs[1].detach()[1][7][0][1] = NAN;
      EXPECT_TRUE(torch::equal(problem.ours().isnan(), problem.theirs().isnan()));
    }
  }
}

TEST(Mix, NoticesWhenItsTensorsAreChangedInPlace) {
  const Problem problem({2, 4, 5, 6, {plain, no_norm}, /*weighted=*/false, /*relu=*/true}, torch::kFloat);
  const auto refuses = [&](const torch::Tensor& out) {
    EXPECT_THAT([&] { torch::autograd::grad({out}, {problem.xs[0]}, {problem.g}); },
                ThrowsMessage<c10::Error>(HasSubstr("modified by an inplace operation")));
  };
  const torch::Tensor out = problem.ours();
  out.detach().mul_(2);
  refuses(out);
  const torch::Tensor before = problem.ours();
  problem.xs[1].detach().mul_(2);
  refuses(before);
}

TEST(Mix, RefusesWhatItCannotDo) {
  const torch::Tensor x = torch::ones({2, 4, 5, 6});
  const BatchNorm four(4), three(3);
  const auto refuses = [](const std::vector<MixInput>& inputs, const torch::Tensor& weights,
                          const std::string& message) {
    EXPECT_THAT([&] { mix(inputs, weights); }, ThrowsMessage<c10::Error>(HasSubstr(message)));
  };
  refuses({}, {}, "a mix needs at least one input");
  refuses({{x}, {x}}, torch::ones({3}), "a mix of 2 inputs takes that many weights");
  refuses({{x}, {x}}, torch::ones({1, 2}), "a mix of 2 inputs takes that many weights");
  refuses({{x.to(torch::kMeta)}}, {}, "a mix runs on a CPU");
  refuses({{x[0]}}, {}, "the inputs of a mix have one shape [B, C, H, W] and type, found Float[4, 5, 6]");
  refuses({{x}, {x.slice(3, 0, 5)}}, {}, "found Float[2, 4, 5, 6] and Float[2, 4, 5, 5]");
  refuses({{x}, {x.to(torch::kDouble)}}, {}, "found Float[2, 4, 5, 6] and Double[2, 4, 5, 6]");
  refuses({{x, &four}, {x, &three}}, {}, "a batch norm of 3 channels meets an input of 4");
  refuses({{x.to(torch::kInt)}}, {}, "the fused operators compute in float32, float64 or bfloat16, found Int");
  refuses({{x}, {torch::Tensor()}}, {}, "an input of a mix is undefined");

  const torch::Tensor leaf = x.detach().requires_grad_();
  const torch::Tensor out = mix_norm(leaf, four);
  EXPECT_THAT([&] { torch::autograd::grad({out.sum()}, {leaf}, {}, /*retain_graph=*/true, /*create_graph=*/true); },
              ThrowsMessage<c10::Error>(HasSubstr("its gradient is not differentiable")));
}

}  // namespace
}  // namespace flowdarts
