#include "searched_supernet.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <flowdarts/pipeline/search_state.hpp>
#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/pipeline/trained_tensors.hpp>
#include <flowdarts/policies/options/option_table.hpp>
#include <flowdarts/policies/relaxation/partial_channel.hpp>
#include <flowdarts/policies/shrinking/progressive_stages.hpp>
#include <flowdarts/spaces/darts/published_names.hpp>
#include <flowdarts/spaces/darts/space.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/mobilenet/published_names.hpp>
#include <flowdarts/spaces/mobilenet/space.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <flowdarts/spaces/module_weights.hpp>
#include <flowdarts/spaces/nas_bench_201/published_names.hpp>
#include <flowdarts/spaces/nas_bench_201/space.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

namespace flowdarts::app {
namespace {

/// The supernet, and how its published form names what it holds.
struct Published {
  std::shared_ptr<Supernet> supernet;
  ModuleNames modules;
  std::vector<std::string> alphas;  // a name for each of arch_shapes()
};

class CheckpointReader {
 public:
  CheckpointReader(const Checkpoint& checkpoint, const std::string& where)
      : checkpoint_(checkpoint), where_(where), position_(get_state(checkpoint)) {}

  [[nodiscard]] SearchedSupernet read() const {
    const Published published = build();
    restore("weights", published.supernet->parameters());
    restore("statistics", published.supernet->buffers());
    SearchedSupernet result{.weights = renamed(weights_of(*published.supernet), published.modules), .facts = facts()};
    const std::vector<ArchShape> shapes = published.supernet->arch_shapes();
    // Without alpha (IS-DARTS) the architecture is in the masks alone.
    if (has_alpha()) {
      std::vector<torch::Tensor> alphas;
      for (const ArchShape& shape : shapes) alphas.push_back(torch::empty({shape.rows, shape.columns}));
      restore("alpha", alphas);
      for (std::size_t m = 0; m < alphas.size(); ++m) result.weights[published.alphas[m]] = alpha_of(alphas[m]);
    }
    if (space() == mobilenet::space_name) add_gates(result.weights, shapes);
    if (checkpoint_.has("masks")) {
      nlohmann::json matrices = nlohmann::json::array();
      for (const std::vector<bool>& mask : get_masks(checkpoint_.section("masks"), all_left(shapes))) {
        matrices.push_back(std::vector<int>(mask.begin(), mask.end()));
      }
      result.facts["ops_left"] = matrices.dump();
    }
    return result;
  }

 private:
  [[nodiscard]] std::string entry(const std::string& key) const {
    const auto found = std::ranges::find(checkpoint_.identity(), key, &Identity::value_type::first);
    return found == checkpoint_.identity().end() ? "" : found->second;
  }
  [[nodiscard]] std::string space() const { return entry("space"); }
  [[nodiscard]] std::string policy(const char* role) const { return entry(std::string(role) + " policy"); }

  /// The options that a checkpoint was written with; prefix: that of their flags.
  template <class Options>
  [[nodiscard]] Options options(const std::string& prefix) const {
    Options options;
    OptionTable table;
    table.add("", prefix, options);
    for (const OptionRow& row : table.rows()) {
      const std::string flag = "--" + row.flag;
      if (const std::string text = entry(flag); !text.empty()) row.set(text, where_ + ": " + flag);
    }
    return options;
  }

  /// The classifier's bias, an element a class, is the last weight of every supernet.
  [[nodiscard]] std::int64_t classes() const {
    ByteReader reader = checkpoint_.section("weights");
    std::size_t bytes = 0;
    for (auto left = reader.get<std::uint64_t>(); left > 0; --left) bytes = reader.get_bytes().size();
    return static_cast<std::int64_t>(bytes / sizeof(float));
  }

  [[nodiscard]] bool has_alpha() const { return checkpoint_.section("alpha").get<std::uint64_t>() > 0; }

  /// What policies make of the supernet, as the search asks them.
  template <class Spec>
  void form(Spec& spec) const {
    if (policy(roles::Relaxation::name) == PartialChannel::name) {
      PartialChannel(options<PartialChannel::Options>(roles::Relaxation::name)).form(spec);
    }
    if (policy(roles::Shrinking::name) == ProgressiveStages::name) {
      // A checkpoint at the end of a stage holds that stage's tensors.
      const std::int64_t epoch = position_.step > 0 ? position_.epoch : std::max<std::int64_t>(position_.epoch - 1, 0);
      const std::int64_t stage = ProgressiveStages::stage_of(epoch, std::stoll(entry("--epochs"))).index;
      ProgressiveStages(options<ProgressiveStages::Options>(roles::Shrinking::name)).form(spec, stage);
    }
  }

  [[nodiscard]] Published build() const {
    if (space() == nas_bench_201::space_name) {
      auto spec = NasBench201(options<NasBench201::Options>("")).spec(classes());
      form(spec);
      return {std::make_shared<nas_bench_201::OracleSupernet>(spec),
              nas_bench_201::published_search_modules(spec.cells),
              {"arch_parameters", "betas"}};
    }
    if (space() == darts::space_name) {
      auto spec = Darts(options<Darts::Options>("")).spec(classes());
      form(spec);
      return {std::make_shared<darts::OracleSupernet>(spec),
              darts::published_search_modules(spec),
              {"alphas_normal", "alphas_reduce", "betas_normal", "betas_reduce"}};
    }
    if (space() == mobilenet::space_name) {
      const auto given = options<Mobilenet::Options>("");
      const mobilenet::SupernetSpec spec{.widths = mobilenet::parse_widths(given.widths.value),
                                         .classes = classes(),
                                         .stem_stride = given.stem_stride};
      Published published{std::make_shared<mobilenet::OracleSupernet>(spec), mobilenet::published_search_modules(), {}};
      for (int layer = 0; layer < mobilenet::layer_count; ++layer) {
        published.alphas.push_back(mobilenet::published_choice(layer) + ".AP_path_alpha");
      }
      return published;
    }
    throw InputError(where_ + ": found a search on the space " + quote(space()) +
                     ", expected one on nas-bench-201, darts or mobilenet");
  }

  /// As the published networks hold it: a matrix, but a vector where there is one row or column.
  static Weight alpha_of(const torch::Tensor& alpha) {
    return weight_of(alpha.size(0) == 1 || alpha.size(1) == 1 ? alpha.flatten() : alpha);
  }

  /// ProxylessNAS has a gate for each candidate beside its alpha, which it sets anew for every pass.
  static void add_gates(Weights& weights, const std::vector<ArchShape>& shapes) {
    for (std::size_t layer = 0; layer < shapes.size(); ++layer) {
      weights[mobilenet::published_choice(static_cast<int>(layer)) + ".AP_path_wb"] =
          weight_of(torch::zeros({shapes[layer].columns}));
    }
  }

  void restore(const char* section, const std::vector<torch::Tensor>& tensors) const {
    ByteReader reader = checkpoint_.section(section);
    restore_tensors(tensors, reader.get_raw(reader.remaining()), where_ + ": section " + section);
  }

  [[nodiscard]] std::map<std::string, std::string> facts() const {
    std::map<std::string, std::string> facts{{"space", space()}, {"epochs", std::to_string(position_.epoch)}};
    ByteReader derived = checkpoint_.section("derived");
    derived.get<bool>();
    if (std::string genotype = derived.get_string(); !genotype.empty()) facts["genotype"] = std::move(genotype);
    const std::string suffix = " policy";
    std::string& policies = facts["policies"];
    for (const auto& [key, value] : checkpoint_.identity()) {
      if (!key.ends_with(suffix)) continue;
      policies += (policies.empty() ? "" : ", ") + key.substr(0, key.size() - suffix.size()) + " " + value;
    }
    return facts;
  }

  const Checkpoint& checkpoint_;
  const std::string& where_;
  SearchState position_;
};

}  // namespace

SearchedSupernet read_supernet(const Checkpoint& checkpoint, const std::string& where) {
  return CheckpointReader(checkpoint, where).read();
}

}  // namespace flowdarts::app
