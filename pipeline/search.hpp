#pragma once
// SearchGraph<Method>: the search loop of docs/architecture.md (hooks H1 to H10) on the flow graph, with
// the hooks filled by the method's policies.

#include <flowdarts/pipeline/device.hpp>
#include <flowdarts/pipeline/flow_graph.hpp>
#include <flowdarts/pipeline/hooks.hpp>
#include <flowdarts/pipeline/options.hpp>
#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/pipeline/run_directory/signals.hpp>
#include <flowdarts/pipeline/search_data.hpp>
#include <flowdarts/pipeline/search_output.hpp>
#include <flowdarts/pipeline/search_state.hpp>
#include <flowdarts/pipeline/shared_search.hpp>
#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/pipeline/trained_tensors.hpp>
#include <flowdarts/policies/data_pruning/rule.hpp>
#include <flowdarts/policies/method.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/arch_step/arch_step.hpp>
#include <flowdarts/stages/arch_step/hessian.hpp>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/load/pinned_memory.hpp>
#include <flowdarts/stages/load/resident_dataset.hpp>
#include <flowdarts/stages/prune/el2n_scores.hpp>
#include <flowdarts/stages/prune/one_shot.hpp>
#include <flowdarts/stages/prune/prune.hpp>
#include <flowdarts/stages/ranks/gradient_sum.hpp>
#include <flowdarts/stages/ranks/tensor_sum.hpp>
#include <flowdarts/stages/weight_step/weight_step.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

/// All options of a search with one method.
template <class Method>
struct SearchOptions {
  RunOptions run;
  DataOptions data;
  typename Method::Space::Options space;
  WeightOptions weights;
  ArchOptions alpha;
  typename Method::Options policies;
};

// The other hooks a policy may have; one that is absent costs nothing.

/// H9: ends the search after an epoch.
template <class P>
concept StopsEarly = requires(P& policy, std::int64_t completed, const std::string& genotype) {
  { policy.should_stop(completed, genotype) } -> std::convertible_to<bool>;
};
/// H10: prunes both splits between epochs by the variance of their per-sample errors.
template <class P>
concept PrunesBetweenEpochs = requires(const P& policy, std::int64_t epochs) {
  { policy.prunes_after(epochs, epochs) } -> std::convertible_to<bool>;
  { policy.rule(Split::train, epochs) } -> std::convertible_to<PruneRule>;
};
/// Cuts T and V once, before the first epoch.
template <class P, class Setting>
concept CutsBeforeSearch = requires(const P& policy, Setting& setting) {
  policy.before_search(setting);
};
/// Refuses options that do not fit the search's length.
template <class P>
concept ChecksEpochs = requires(const P& policy, std::int64_t epochs) {
  policy.check(epochs);
};
/// Carries state from step to step or epoch to epoch, which checkpoints must hold.
template <class P>
concept HasState = requires(P& policy, const P& constant, ByteWriter& writer, ByteReader& reader) {
  constant.save(writer);
  policy.load(reader);
};

inline Budget budget_of(const RunOptions& run) {
  return {run.max_params, run.max_macs};
}

/// A space that knows what the networks of its genotypes cost.
template <class Space>
concept KnowsCosts = requires(const Space& space, const typename Space::Genotype& genotype, const NetworkInput& input) {
  { space.cost(genotype, input) } -> std::same_as<NetworkCost>;
  { space.least_cost(input) } -> std::same_as<NetworkCost>;
};

template <class Method>
class SearchGraph {
 public:
  using Space = typename Method::Space;
  using Options = SearchOptions<Method>;

  /// Opens the data, the run directory and, with `resume`, its newest checkpoint. `identity`: what a checkpoint must
  /// agree with. `config`: the complete configuration as TOML. `ranks`: the processes that search together, each with
  /// the same arguments; the first one has the run directory. Throws InputError.
  SearchGraph(const Options& options, bool resume, Identity identity, const std::string& config,
              std::shared_ptr<Terminal> terminal, std::shared_ptr<Ranks> ranks = std::make_shared<Ranks>())
      : options_(options),
        space_(options.space),
        data_(open_data(options, space_)),
        device_(open_device(options.run)),
        relaxation_(policy_options<roles::Relaxation>()),
        pruning_(policy_options<roles::DataPruning>()),
        shrinking_(policy_options<roles::Shrinking>()),
        importance_(policy_options<roles::Importance>()),
        stopping_(policy_options<roles::Stopping>()),
        identity_(std::move(identity)),
        shared_(ranks),
        output_(options.run, resume, std::move(terminal), ranks),
        loader_(
            data_.dataset, load_options(options.data), seed(),
            [this](const std::string& line) {
              // What opening the data left out, all processes find.
              if (opened_ || shared_.writes()) output_.warn_of_own("skipped: " + line);
            },
            device_.is_cuda() ? &pinned_ : std::pmr::new_delete_resource(),
            device_.is_cuda() ? BatchForm::pixels : BatchForm::images) {
    opened_ = true;
    warn_of_large_batches();
    if constexpr (provides<typename Method::Shrinking, tags::decays_on_schedule> &&
                  StopsEarly<typename Method::Stopping>) {
      output_.warn(std::string(Method::Shrinking::name) + " prunes by a schedule over all epochs; " +
                   Method::Stopping::name + " may end the search before pruning is strong");
    }
    identity_.emplace_back("data set", std::to_string(data_.dataset->fingerprint()));
    shared_.require_same_identity(identity_);
    if (shared_.writes()) {
      store_.emplace(output_.directory().checkpoints(), static_cast<std::size_t>(options.run.keep_checkpoints.value));
    }
    state_.lists = std::make_shared<const SampleLists>(data_.lists);
    resumed_ = resume && load_checkpoint();
    // Last: a directory without its configuration is no run yet, and a run keeps its own until the search has agreed to
    // go on.
    if (shared_.writes()) output_.directory().write_text("config.toml", config);
  }

  /// Opens the data and refuses options that do not fit it or one another: all that can be refused before anything is
  /// written. Throws InputError.
  static SearchData open_data(const Options& options, const Space& space) {
    check(form_of(options));
    check_device(options.run);
    if (!trains_alpha && options.run.hessian_every > 0) {
      throw InputError("--hessian-every: found " + std::to_string(options.run.hessian_every) +
                       ", expected 0: this method trains no alpha");
    }
    SearchData data = open_search_data(options.data, static_cast<std::uint64_t>(options.run.seed.value));
    if constexpr (provides<typename Method::Bilevel, tags::all_data_trains>) data.lists = all_trains(data.lists);
    space.check_image_size(data.dataset->geometry().size);
    check_budget(options.run, space, *data.dataset);
    if constexpr (requires {
                    Method::Importance::sees_outputs;
                    space.check_channels();
                  }) {
      space.check_channels();
    }
    Method::for_each_role([&]<class Role, class Policy>() {
      if constexpr (ChecksEpochs<Policy>) {
        Policy(options.policies[boost::hana::type_c<Role>]).check(options.run.epochs);
      }
    });
    return data;
  }

  struct Result {
    bool finished = false;  ///< false: interrupted by a signal
    int signal = 0;
    std::optional<typename Space::Genotype> genotype;  ///< there is one where the search is finished
    std::vector<std::pair<std::string, double>> true_accuracies;
    std::optional<NetworkCost> cost;  ///< of the genotype's stand-alone network, where the space knows it
    std::int64_t epochs = 0;
    double seconds = 0;
    PerSplit<std::int64_t> samples{};
  };

  /// Runs to the end, or to the first SIGINT or SIGTERM. Throws InputError or RunError, naming the node of the graph.
  Result run() {
    const StopSignals signals(/*silent=*/!shared_.writes());
    const auto start = std::chrono::steady_clock::now();
    const Threads threads = share_threads();
    output_.images(*data_.dataset, *state_.lists, threads.compute, threads.load);
    output_.processes(options_.run);
    if (const std::string bound = lack_of_cores(shared_.ranks()); !bound.empty()) output_.warn_of_own(bound);
    at::set_num_threads(threads.compute);
    if (!resumed_) cut_before_search(signals);
    signal_ = shared_.agree_on_signal(signals.requested());
    if (signal_ == 0 && state_.epoch < epochs() && !stopped_) {
      output_.begin(state_.epoch, state_.sums.samples.train + state_.sums.samples.val);
      sums_ = state_.sums;
      if constexpr (PrunesBetweenEpochs<typename Method::DataPruning>) {
        for (const Split split : all_splits) {
          if (!state_.histories[split]) state_.histories[split].emplace((*state_.lists)[split]);
        }
      }
      try {
        if (device_.is_cuda()) with_plain_errors([&] { prepare_gpu(); });
        run_flow_graph(bodies(signals), graph_settings(options_.run, threads.load),
                       {state_.epoch, state_.step, state_.lists, state_.val_state},
                       [this, threads] { with_plain_errors([&] { open_tensors(threads); }); });
      } catch (const std::exception& error) {
        output_.fail(error.what());
        throw;
      }
      output_.finish();
    }
    Result result{.finished = state_.epoch == epochs() || stopped_, .signal = signal_, .epochs = state_.epoch};
    if (!result.finished) {
      output_.interrupted(state_.epoch, state_.step);
    }
    result.samples = {static_cast<std::int64_t>(state_.lists->train.size()),
                      static_cast<std::int64_t>(state_.lists->val.size())};
    result.genotype = genotype_;
    if (genotype_) {
      result.true_accuracies = space_.true_accuracies(*genotype_);
      if constexpr (KnowsCosts<Space>) result.cost = space_.cost(*genotype_, network_input(*data_.dataset));
    }
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
  }

  [[nodiscard]] SearchOutput& output() { return output_; }

  /// What a policy's before_search() works with.
  class BeforeSearch {
   public:
    BeforeSearch(SearchGraph& search, const StopSignals& signals) : search_(search), signals_(signals) {}

    /// EL2N of every sample of T and V, by id; 0 for others.
    std::vector<double> el2n_scores(std::int64_t runs, std::int64_t score_epochs) {
      const SampleLists& lists = *search_.state_.lists;
      std::vector<std::int64_t> ids = lists.train;
      ids.insert(ids.end(), lists.val.begin(), lists.val.end());
      std::ranges::sort(ids);
      const Ranks& ranks = search_.shared_.ranks();
      std::vector<double> scores = flowdarts::el2n_scores(search_.loader_, search_.data_.dataset->size(),
                                                          search_.data_.dataset->classes(), ids, search_.device_,
                                                          {.runs = runs,
                                                           .epochs = score_epochs,
                                                           .seed = search_.seed(),
                                                           .locality = search_.locality(),
                                                           .first_run = ranks.rank(),
                                                           .run_stride = ranks.size()},
                                                          [this] { return signals_.requested() != 0; });
      search_.shared_.add_up(scores);
      return scores;
    }
    /// Does nothing to a split that the search does not have.
    void cut(Split split, const std::vector<double>& scores, double fraction, Criterion criterion) {
      auto lists = *search_.state_.lists;
      if (lists[split].empty()) return;
      std::vector<double> own;
      for (const std::int64_t id : lists[split]) own.push_back(scores[static_cast<std::size_t>(id)]);
      std::vector<std::int64_t> kept;
      for (const std::uint32_t position : one_shot_cut(own, fraction, criterion))
        kept.push_back(lists[split][position]);
      lists[split] = std::move(kept);
      replace(std::move(lists), split);
    }
    void keep_random(Split split, double fraction) {
      auto lists = *search_.state_.lists;
      if (lists[split].empty()) return;
      lists[split] = random_subset(lists[split], fraction, search_.seed(), split);
      replace(std::move(lists), split);
    }

   private:
    void replace(SampleLists lists, Split split) {
      if (lists[split].empty()) {
        throw InputError("data pruning before the search leaves no sample of " + std::string(name_of(split)) +
                         ", expected at least one of its " + std::to_string((*search_.state_.lists)[split].size()));
      }
      search_.output_.cut(split, lists[split].size(), (*search_.state_.lists)[split].size());
      search_.state_.lists = std::make_shared<const SampleLists>(std::move(lists));
    }
    SearchGraph& search_;
    const StopSignals& signals_;
  };

  /// What a shrinking policy works with, between epochs. Matrices are row-major.
  class ShrinkSetting {
   public:
    ShrinkSetting(SearchGraph& search, const EpochPlan& plan, std::int64_t completed)
        : search_(search), plan_(plan), completed_(completed), shapes_(search.supernet_->arch_shapes()) {}

    [[nodiscard]] std::int64_t completed() const { return completed_; }
    [[nodiscard]] std::int64_t epochs() const { return search_.epochs(); }
    [[nodiscard]] const std::vector<ArchShape>& shapes() const { return shapes_; }
    [[nodiscard]] std::vector<OpGroup> groups() const { return search_.space_.op_groups(); }
    /// The live ones.
    [[nodiscard]] const std::vector<torch::Tensor>& alphas() const { return search_.arch_step_->optimizer().alphas(); }
    [[nodiscard]] OpMasks masks() const { return search_.masks_or_all(); }
    /// Of the importance as it is now, measured for it where that takes passes; ops that are not left have the lowest.
    [[nodiscard]] OpScores scores() {
      if constexpr (MeasuresImportance<typename Method::Importance>) search_.measure(plan_, completed_, false);
      OpScores scores = search_.scores();
      if (scores.empty()) {
        throw InputError("shrinking after epoch " + std::to_string(completed_) +
                         ": the importance is not known yet, expected an epoch that trains alpha before it");
      }
      // Where no node keeps `none`, it goes first.
      if constexpr (provides<Space, tags::two_inputs_per_node> &&
                    provides<typename Method::Shrinking, tags::leaves_architecture>) {
        search_.put_none_last(scores);
      }
      return scores;
    }
    /// Throws std::logic_error where an op would come back.
    void set_masks(const OpMasks& masks) { search_.set_masks(masks); }

   private:
    SearchGraph& search_;
    const EpochPlan& plan_;
    std::int64_t completed_;
    std::vector<ArchShape> shapes_;
  };

 private:
  using Arch = ArchStep<typename Method::Relaxation, typename Method::Bilevel, typename Method::ArchRegularizer>;
  using Clock = std::chrono::steady_clock;
  static constexpr bool trains_alpha = provides<typename Method::Bilevel, tags::alpha_grad>;
  static constexpr bool has_alpha = provides<typename Method::Relaxation, tags::trainable_alpha>;
  static constexpr bool drops_skips = DropsSkips<typename Method::Shrinking>;
  /// Where every edge keeps one op, groups are edges.
  static constexpr bool by_group =
      !provides<Space, tags::one_op_per_edge> && (provides<typename Method::Shrinking, tags::selects_by_group> ||
                                                  provides<typename Method::Importance, tags::selects_by_group>);

  static SupernetForm form_of(const Options& options) { return {options.run.mixed_op, options.run.precision}; }

  struct Threads {
    int compute = 1;
    int load = 1;
  };

  template <class Role>
  [[nodiscard]] const auto& policy_options() const {
    return options_.policies[boost::hana::type_c<Role>];
  }
  [[nodiscard]] std::uint64_t seed() const { return static_cast<std::uint64_t>(options_.run.seed.value); }
  [[nodiscard]] std::int64_t epochs() const { return options_.run.epochs; }
  [[nodiscard]] std::int64_t batch_size() const { return options_.run.batch_size; }
  [[nodiscard]] Locality locality() const { return {data_.dataset->shards(), options_.data.shuffle_buffer}; }
  static double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

  /// Loading costs a CPU search under 1 % of its time: one thread loads while LibTorch has all cores. A GPU leaves
  /// the cores to the loaders.
  [[nodiscard]] Threads share_threads() const {
    const int cores = options_.run.threads > 0 ? static_cast<int>(options_.run.threads) : cores_of(shared_.ranks());
    Threads threads{.compute = device_.is_cpu() ? cores : 1, .load = device_.is_cpu() ? std::max(1, cores / 4) : cores};
    if (options_.run.loader_threads > 0) threads.load = static_cast<int>(options_.run.loader_threads);
    return threads;
  }

  void warn_of_large_batches() {
    for (const Split split : all_splits) {
      const auto size = static_cast<std::int64_t>(data_.lists[split].size());
      if (size > 0 && batch_size() > size) {
        output_.warn("--batch-size " + std::to_string(batch_size()) + " is more than the " + std::to_string(size) +
                     " samples of " + std::string(name_of(split)) + ": one step sees them all");
      }
    }
  }

  void cut_before_search(const StopSignals& signals) {
    if constexpr (CutsBeforeSearch<typename Method::DataPruning, BeforeSearch>) {
      BeforeSearch setting(*this, signals);
      pruning_.before_search(setting);
    }
  }

  /// Before the first step, because it makes the device wait. Images that fit live on the GPU; of others the loaders
  /// send pixels, whose colours are changed and normalised there.
  void prepare_gpu() {
    if (const std::string obstacle = ResidentDataset::obstacle(*data_.dataset, loader_.augmentation(), device_);
        obstacle.empty()) {
      resident_.emplace(*data_.dataset, loader_.augmentation(), device_, image_type());
      output_.info("the images live on the GPU and are augmented there: " + std::to_string(resident_->bytes() >> 20) +
                   " MiB");
    } else {
      output_.info("the images are cropped on the CPU and finished on the GPU, they cannot live there: " + obstacle);
    }
    if constexpr (PrunesBetweenEpochs<typename Method::DataPruning>) {
      if (!is_available(SortBackend::cuda)) return;
      for (const Split split : all_splits) sorters_[split] = make_device_sorter((*state_.lists)[split].size());
    }
  }

  // ---- On the device executor's thread ----

  [[nodiscard]] at::ScalarType image_type() const {
    return device_.is_cuda() && options_.run.precision == Precision::bf16 ? torch::kBFloat16 : torch::kFloat;
  }

  [[nodiscard]] DeviceBatch on_device(const Batch& batch) const {
    return resident_ ? resident_->augment(batch) : to_device(batch, device_, image_type());
  }

  void open_tensors(const Threads& threads) {
    at::set_num_threads(threads.compute);
    at::init_num_threads();
    if (shared_.several()) {
      if (options_.run.sync_bn) statistics_sum_ = make_rank_sum(shared_.statistics(), device_);
      gradient_sum_.emplace(statistics_sum_ && device_.is_cuda() ? make_sum_in_order(statistics_sum_)
                                                                 : make_sum_beside(shared_.gradients(), device_));
    }
    // A checkpoint at the end of a stage holds that stage's tensors.
    build(stage_of(state_.step > 0 ? state_.epoch : std::max<std::int64_t>(state_.epoch - 1, 0)).index);
    if constexpr (!has_alpha) set_masks(masks_or_all());
    // What the supernet cannot do for the policies it says now, not after the first epoch.
    if constexpr (requires { Method::Importance::sees_outputs; }) supernet_->set_output_observer({});
    if constexpr (drops_skips) set_skip_dropout(Split::train, 0, 0);
    if constexpr (ChecksColumns<typename Method::Importance>) {
      for (const ArchShape& shape : supernet_->arch_shapes()) Method::Importance::check_columns(shape.columns);
    }
    if (checkpoint_) {
      restore_snapshot(*checkpoint_);
      checkpoint_.reset();
    }
    traffic_ = shared_.traffic();
    idle_since_ = mark_work(device_);
  }

  /// Makes the network of a stage, with first weights and alphas and fresh optimisers. What was taken out stays out.
  void build(std::int64_t stage) {
    std::uint64_t key = seed();
    if (stage > 0) {
      key = CounterRng(seed(), Stream::weight_init, 1, static_cast<std::uint32_t>(stage)).bits64();
    }
    arch_step_.reset();
    weight_step_.reset();
    supernet_ = make_supernet(stage);
    initialise(*supernet_, key);
    supernet_->to(device_);
    to_channels_last(*supernet_);
    if (statistics_sum_) supernet_->share_statistics(statistics_sum_);
    const GradientSum* sum = gradient_sum_ ? &*gradient_sum_ : nullptr;
    weight_step_.emplace(*supernet_, options_.weights, sum);
    arch_step_.emplace(*supernet_, first_alphas(key), options_.alpha, relaxation_,
                       typename Method::Bilevel(policy_options<roles::Bilevel>()),
                       typename Method::ArchRegularizer(policy_options<roles::ArchRegularizer>()), sum);
    if (!masks_.empty()) set_masks(masks_);
  }

  [[nodiscard]] SearchStage stage_of(std::int64_t epoch) const {
    if constexpr (PartsSearch<typename Method::Shrinking>) {
      return shrinking_.stage_of(epoch, epochs());
    } else {
      return {0, 0, epochs()};
    }
  }
  /// Whether another network is trained from this epoch on.
  [[nodiscard]] bool rebuilds_before(std::int64_t epoch) const { return epoch > 0 && stage_of(epoch).first == epoch; }

  [[nodiscard]] double weight_lr(std::int64_t epoch) const {
    const SearchStage stage = stage_of(epoch);
    return cosine_lr(options_.weights, epoch - stage.first, stage.length);
  }

  [[nodiscard]] std::shared_ptr<Supernet> make_supernet(std::int64_t stage) const {
    const std::int64_t classes = data_.dataset->classes();
    const int image_size = data_.dataset->geometry().size;
    if constexpr (requires { space_.spec(classes); }) {
      auto spec = space_.spec(classes);
      if constexpr (FormsSupernet<typename Method::Relaxation, decltype(spec)>) relaxation_.form(spec);
      if constexpr (FormsStages<typename Method::Shrinking, decltype(spec)>) shrinking_.form(spec, stage);
      if constexpr (requires {
                      Method::Importance::sees_outputs;
                      spec.channels / spec.partial;
                    }) {
        if (spec.channels / spec.partial < 2) {
          throw InputError("--channels: found " + std::to_string(spec.channels) + ", expected at least " +
                           std::to_string(2 * spec.partial) + ": channel variance needs at least two channels");
        }
      }
      return space_.make_supernet(spec, image_size, form_of(options_));
    } else {
      return space_.make_supernet(classes, image_size, form_of(options_));
    }
  }

  std::vector<torch::Tensor> first_alphas(std::uint64_t key) {
    std::vector<torch::Tensor> alphas;
    if constexpr (has_alpha) {
      for (torch::Tensor alpha : initial_alphas(supernet_->arch_shapes(), options_.alpha.init, key)) {
        const torch::NoGradGuard no_grad;
        if constexpr (requires { relaxation_.initial_alpha(1); }) alpha.fill_(relaxation_.initial_alpha(alpha.size(1)));
        alphas.push_back(alpha.detach().to(device_).requires_grad_());
      }
    }
    return alphas;
  }

  void set_skip_dropout(Split split, std::int64_t epoch, std::int64_t step) {
    CounterRng rng(seed(), Stream::noise, static_cast<std::uint32_t>(split), static_cast<std::uint32_t>(epoch),
                   static_cast<std::uint64_t>(step));
    supernet_->set_skip_dropout({.rate = shrinking_.skip_dropout(epoch, epochs()), .key = rng.bits64()});
  }

  [[nodiscard]] OpMasks masks_or_all() const { return masks_.empty() ? all_left(supernet_->arch_shapes()) : masks_; }

  void set_masks(const OpMasks& masks) {
    for (std::size_t m = 0; m < masks_.size(); ++m) {
      for (std::size_t i = 0; i < masks_[m].size(); ++i) {
        if (masks[m][i] && !masks_[m][i]) throw std::logic_error("a mask lets an op come back");
      }
    }
    masks_ = masks;
    arch_step_->set_masks(to_tensors(masks, supernet_->arch_shapes(), device_));
    weight_step_->forget_graphs();
  }

  /// Larger is better, and lowest where an op is not left; none where the importance is not known.
  [[nodiscard]] OpScores scores() {
    const torch::NoGradGuard no_grad;
    OpScores scores = to_matrices(importance_.scores(ranked_weights()));
    if (masks_.empty()) return scores;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    for (std::size_t m = 0; m < scores.size(); ++m) {
      for (std::size_t i = 0; i < scores[m].size(); ++i) {
        scores[m][i] = masks_[m][i] ? std::max(scores[m][i], std::numeric_limits<double>::lowest()) : -infinity;
      }
    }
    return scores;
  }

  /// Where what is left of several edges competes, a weight must not have grown because others left its edge.
  [[nodiscard]] std::vector<torch::Tensor> ranked_weights() const {
    if constexpr (has_alpha && !provides<Space, tags::one_op_per_edge> &&
                  provides<typename Method::Shrinking, tags::leaves_architecture>) {
      return arch_step_->unmasked_op_weights();
    } else {
      return arch_step_->op_weights();
    }
  }

  void put_none_last(OpScores& scores) const {
    const std::int64_t column = none_column();
    if (column < 0) return;
    const std::vector<ArchShape> shapes = supernet_->arch_shapes();
    for (std::size_t m = 0; m < scores.size(); ++m) {
      if (!shapes[m].row_groups.empty()) continue;
      for (std::int64_t row = 0; row < shapes[m].rows; ++row) {
        scores[m][static_cast<std::size_t>(row * shapes[m].columns + column)] =
            -std::numeric_limits<double>::infinity();
      }
    }
  }

  [[nodiscard]] std::int64_t none_column() const {
    if constexpr (requires { space_.none_column(); }) {
      return space_.none_column();
    } else {
      return -1;
    }
  }

  void measure(const EpochPlan& plan, std::int64_t completed, bool decides) {
    const torch::NoGradGuard no_grad;
    Measurements setting(*supernet_, {.loader = &loader_,
                                      .device = device_,
                                      .seed = seed(),
                                      .batch_size = batch_size(),
                                      .epoch = completed,
                                      .none_column = none_column(),
                                      .decides = decides,
                                      .train = &data_.lists.train,
                                      .val = &plan.request.lists->val,
                                      .initial_val = &data_.lists.val,
                                      .op_weights = arch_step_->op_weights(),
                                      .shared = shared_.several() ? &shared_ : nullptr});
    importance_.measure(setting);
    measured_after_ = completed;
  }

  void begin_epoch(const EpochPlan& plan) {
    if (rebuilds_before(plan.epoch())) {
      const std::int64_t stage = stage_of(plan.epoch()).index;
      build(stage);
      output_.info("stage " + std::to_string(stage + 1) + ": a new supernet of " +
                   std::to_string(parameter_count(*supernet_)) + " weights");
    }
    if constexpr (ShrinksBeforeEpoch<typename Method::Shrinking, ShrinkSetting>) {  // H2
      ShrinkSetting setting(*this, plan, plan.epoch());
      shrinking_.before_epoch(setting);
    }
    if constexpr (CountsByEpoch<typename Method::Importance>) importance_.begin_epoch();  // H3
  }

  StepReport step(StepInput&& input) {
    const std::int64_t epoch = input.plan->epoch();
    if (input.step == 0) {
      traffic_ = shared_.traffic();
      begin_epoch(*input.plan);
    }
    const double lr = weight_lr(epoch);  // H1
    StepReport report;
    report.marks.idle = idle_since_;
    report.marks.begun = mark_work(device_);
    if (shared_.several() && data_.dataset->skip_corrupt()) {
      std::vector<Batch*> batches{&input.train};
      if (input.val) batches.push_back(&*input.val);
      shared_.agree_on(batches);
    }
    DeviceBatch train;
    if (!input.train.ids.empty()) train = on_device(input.train);

    if constexpr (trains_alpha) {
      // A batch whose samples were all broken and skipped takes no part.
      if (input.val && !input.val->ids.empty() && !(Method::Bilevel::needs_train_batch && input.train.ids.empty())) {
        const auto start = Clock::now();
        const DeviceBatch val = on_device(*input.val);
        if constexpr (drops_skips) set_skip_dropout(Split::val, epoch, input.step);
        (*arch_step_)(
            val, train, weight_step_->optimizer(), options_.weights, lr, epoch,
            [&](const torch::Tensor& results) { inspect(results, "arch step", epoch, input.step); },
            [&](const ArchGradient& arch) {
              if constexpr (ObservesArchGradient<typename Method::Importance>) importance_.observe_arch_gradient(arch);
            });
        if (shared_.reports(*input.val)) report.val = SplitReport{std::move(input.val->ids), last_results_};
        report.arch_seconds = since(start);
      }
    }
    report.marks.arch_done = mark_work(device_);
    if (!input.train.ids.empty()) {
      const auto start = Clock::now();
      std::vector<torch::Tensor> op_weights;
      {
        const torch::NoGradGuard no_grad;
        op_weights = arch_step_->op_weights();
      }
      if constexpr (drops_skips) set_skip_dropout(Split::train, epoch, input.step);
      (*weight_step_)(train, op_weights, lr,
                      [&](const torch::Tensor& results) { inspect(results, "weight step", epoch, input.step); });
      if (shared_.reports(input.train)) report.train = SplitReport{std::move(input.train.ids), last_results_};
      report.weight_seconds = since(start);
    }
    report.marks.weight_done = idle_since_ = mark_work(device_);
    return report;
  }

  /// Between a forward pass and its update: starts the copy of its results and stops the search at a loss that is not
  /// finite, before the update spreads it. On a GPU the copy is looked at once it has arrived, so that nothing waits
  /// for it, but before the next snapshot.
  void inspect(const torch::Tensor& packed, const char* stage, std::int64_t epoch, std::int64_t step) {
    last_results_ = copy_to_host(packed);
    unchecked_.push_back({last_results_, stage, epoch, step});
    check_losses(/*wait=*/false);
  }

  /// `wait`: also for those that are still on their way from a GPU.
  void check_losses(bool wait) {
    while (!unchecked_.empty() && (wait || !is_pending(*unchecked_.front().results))) {
      const Unchecked check = unchecked_.front();
      unchecked_.pop_front();
      if (!std::isfinite(check.results->loss())) refuse_loss(check);
    }
  }

  struct Unchecked {
    std::shared_ptr<const DeviceResults> results;
    const char* stage;
    std::int64_t epoch;
    std::int64_t step;
  };

  [[noreturn]] void refuse_loss(const Unchecked& check) {
    std::string culprit = first_non_finite(trained(), /*with_statistics=*/true);
    if (culprit.empty()) culprit = "none of alpha, weights and statistics; the logits overflowed";
    refuse(std::string("the loss is ") + (std::isnan(check.results->loss()) ? "nan" : "infinite") + " in the " +
               check.stage + " of epoch " + std::to_string(check.epoch + 1) + ", step " +
               std::to_string(check.step + 1),
           culprit);
  }

  [[noreturn]] void refuse(const std::string& what, const std::string& culprit) const {
    const auto checkpoints = CheckpointStore::list(std::filesystem::path(options_.run.out.value) / "checkpoints");
    throw RunError(what + "; first tensor that is not finite: " + culprit +
                   "; last good checkpoint: " + (checkpoints.empty() ? "none" : checkpoints.back().path.string()));
  }

  [[nodiscard]] TrainedTensors trained() { return {*supernet_, weight_step_->optimizer(), arch_step_->optimizer()}; }

  EpochReport end_epoch(const std::shared_ptr<const EpochPlan>& plan) {
    EpochReport report;
    const std::int64_t completed = plan->epoch() + 1;
    const torch::NoGradGuard no_grad;
    // The losses tell of every update but the last.
    check_losses(/*wait=*/true);
    if (const std::string culprit = first_non_finite(trained(), /*with_statistics=*/false); !culprit.empty()) {
      refuse("the last update of epoch " + std::to_string(completed) + " overflowed", culprit);
    }
    if constexpr (ShrinksAfterEpoch<typename Method::Shrinking, ShrinkSetting>) {  // H8
      ShrinkSetting setting(*this, *plan, completed);
      shrinking_.after_epoch(setting);
    }
    const bool last = completed == epochs();
    if constexpr (MeasuresImportance<typename Method::Importance>) {
      if (last) {
        measure(*plan, completed, true);
      } else if (importance_.measures_after(completed) && measured_after_ != completed) {
        measure(*plan, completed, false);
      }
    }
    report.genotype = derived();  // H9
    if (options_.run.hessian_every > 0 && completed % options_.run.hessian_every == 0) {
      report.eigenvalues = eigenvalues(*plan);
    }
    if constexpr (StopsEarly<typename Method::Stopping>) {
      report.stop = !last && !report.genotype.empty() && stopping_.should_stop(completed, report.genotype);
      if constexpr (MeasuresImportance<typename Method::Importance>) {
        if (report.stop) {
          measure(*plan, completed, true);
          report.genotype = derived();
        }
      }
    }
    report.alphas = to_doubles(arch_step_->optimizer().alphas());
    report.weights = to_doubles(arch_step_->op_weights());
    report.masks = masks_;
    if constexpr (ShowsMeasured<typename Method::Importance>) {
      report.importance = to_matrices(importance_.measured());
      report.measured_after = MeasuresImportance<typename Method::Importance> ? measured_after_ : completed;
    }
    report.snapshot = snapshot();
    check_agreement(*plan, report);
    const Communicator::Traffic traffic = shared_.traffic();
    report.exchanged = {traffic.messages - traffic_.messages, traffic.bytes - traffic_.bytes};
    idle_since_ = mark_work(device_);
    return report;
  }

  /// What the processes have computed together, each for itself, must be the same to the bit.
  void check_agreement(const EpochPlan& plan, const EpochReport& report) {
    if (!shared_.several()) return;
    SharedSearch::Fingerprints fingerprints;
    const auto add = [&](const std::string& name, std::span<const std::byte> bytes) {
      Fingerprint fingerprint;
      fingerprint.add({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
      fingerprints.emplace_back(name, fingerprint.value());
    };
    for (const auto& [name, bytes] : *report.snapshot) {
      // Those of a share of each batch are the process's own.
      if (name.starts_with(statistics_section) && !options_.run.sync_bn) continue;
      add(name, bytes);
    }
    add("genotype", std::as_bytes(std::span(report.genotype)));
    for (const Split split : all_splits) {
      add("list of " + std::string(name_of(split)), std::as_bytes(std::span((*plan.request.lists)[split])));
    }
    shared_.require_same(fingerprints, "after epoch " + std::to_string(plan.epoch() + 1));
  }

  [[nodiscard]] std::string derived() {
    OpScores present = scores();
    if (present.empty()) return {};
    // Scores other than weights have their edge's weight in them.
    if constexpr (!provides<typename Method::Importance, tags::scores_are_weights>) {
      const std::vector<ArchShape> shapes = supernet_->arch_shapes();
      for (std::size_t m = shapes.size(); m-- > 0;) {
        if (!shapes[m].row_groups.empty()) present.erase(present.begin() + static_cast<std::ptrdiff_t>(m));
      }
    }
    if constexpr (requires { importance_.skip_limit(); }) {
      const std::int64_t skips = importance_.skip_limit();
      return text_within_budget(space_.derive_with_skip_limit(present, masks_or_all(), skips),
                                [&](const auto& space, const auto&... budget) {
                                  return space.derive_with_skip_limit_within(present, masks_or_all(), skips, budget...);
                                });
    } else if constexpr (by_group) {
      return text_within_budget(space_.derive_by_group(present), [&](const auto& space, const auto&... budget) {
        return space.derive_by_group_within(present, budget...);
      });
    } else {
      return text_within_budget(space_.derive(present), [&](const auto& space, const auto&... budget) {
        return space.derive_within(present, budget...);
      });
    }
  }

  /// The genotype's text, or where its network exceeds the budget that of what derive_within(space, budget, input)
  /// gives.
  template <class DeriveWithin>
  std::string text_within_budget(const typename Space::Genotype& genotype, const DeriveWithin& derive_within) {
    if constexpr (KnowsCosts<Space>) {
      const Budget budget = budget_of(options_.run);
      const NetworkInput input = network_input(*data_.dataset);
      const NetworkCost cost = space_.cost(genotype, input);
      if (budget.holds(cost)) return Space::to_text(genotype);
      if (const auto inside = derive_within(space_, budget, input)) {
        output_.over_budget(cost, space_.cost(*inside, input));
        return Space::to_text(*inside);
      }
      output_.over_budget(cost, std::nullopt);
    }
    return Space::to_text(genotype);
  }

  static NetworkInput network_input(const Dataset& dataset) { return {dataset.classes(), dataset.geometry().size}; }

  /// Throws InputError for a budget that no architecture of the space can keep.
  static void check_budget(const RunOptions& run, const Space& space, const Dataset& dataset) {
    const Budget budget = budget_of(run);
    if (!budget.limits()) return;
    if constexpr (KnowsCosts<Space>) {
      const NetworkCost least = space.least_cost(network_input(dataset));
      const auto check = [](const char* option, std::int64_t limit, std::int64_t smallest) {
        if (limit == 0 || limit >= smallest) return;
        throw InputError(std::string(option) + ": found " + std::to_string(limit) + ", expected at least " +
                         std::to_string(smallest) + ", what the smallest architecture of " + Space::name + " has");
      };
      check("--max-params", budget.max_params, least.params);
      check("--max-macs", budget.max_macs, least.macs);
    } else {
      throw InputError(std::string("--max-params, --max-macs: the space ") + Space::name +
                       " does not say what its networks cost");
    }
  }

  static OpScores to_matrices(const std::vector<torch::Tensor>& matrices) { return to_doubles(matrices); }
  static OpScores to_matrices(OpScores matrices) { return matrices; }

  /// Of the validation Hessian on one batch of V that no other random stream knows of.
  std::pair<double, double> eigenvalues(const EpochPlan& plan) {
    const torch::AutoGradMode grad(true);
    if constexpr (drops_skips) supernet_->set_skip_dropout({});
    std::vector<std::int64_t> ids = plan.request.lists->val;
    CounterRng(seed(), Stream::subset, 0, static_cast<std::uint32_t>(plan.epoch())).shuffle(std::span(ids));
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(batch_size())));
    Batch batch = loader_.load(shared_.share_of({.split = Split::val, .epoch = plan.epoch(), .ids = std::move(ids)}));
    if (data_.dataset->skip_corrupt()) shared_.agree_on(std::array{&batch});
    const DeviceBatch tensors = to_device(batch, device_);
    return dominant_eigenvalues(arch_step_->optimizer().alphas(), [&] { return arch_step_->val_gradient(tensors); });
  }

  std::shared_ptr<const Snapshot> snapshot() {
    check_losses(/*wait=*/true);  // no checkpoint of what a broken loss has spread
    auto sections = std::make_shared<Snapshot>();
    put_tensors(*sections, trained(), masks_);
    if (shared_.several()) {
      ByteWriter processes;
      processes.put(shared_.ranks().size());
      sections->emplace_back("processes", std::move(processes).take());
      if (!options_.run.sync_bn) {
        const auto statistics = shared_.gather(tensor_bytes(supernet_->buffers()));
        for (std::size_t rank = 1; rank < statistics.size(); ++rank) {
          sections->emplace_back(statistics_of(rank), statistics[rank]);
        }
      }
    }
    if constexpr (MeasuresImportance<typename Method::Importance>) {
      ByteWriter measured;
      measured.put(measured_after_);
      sections->emplace_back("measured after", std::move(measured).take());
    }
    for_each_stateful([&](const char* role, auto& policy) {
      ByteWriter writer;
      policy.save(writer);
      sections->emplace_back(std::string("policy ") + role, std::move(writer).take());
    });
    return sections;
  }

  void restore_snapshot(const Checkpoint& checkpoint) {
    if (checkpoint.has("masks")) set_masks(get_masks(checkpoint.section("masks"), masks_or_all()));
    get_tensors(checkpoint, trained());
    const int processes = checkpoint.has("processes") ? checkpoint.section("processes").template get<int>() : 1;
    if (processes != shared_.ranks().size()) {
      output_.warn("the checkpoint is of " + std::to_string(processes) + " process(es) and " +
                   std::to_string(shared_.ranks().size()) +
                   " go on from it: the search is no longer the same bit for bit");
    } else if (const std::string own = statistics_of(static_cast<std::size_t>(shared_.ranks().rank()));
               checkpoint.has(own)) {
      ByteReader reader = checkpoint.section(own);
      restore_tensors(supernet_->buffers(), reader.get_raw(reader.remaining()), "checkpoint section " + own);
    }
    if constexpr (MeasuresImportance<typename Method::Importance>) {
      measured_after_ = checkpoint.section("measured after").template get<std::int64_t>();
    }
    for_each_stateful([&](const char* role, auto& policy) {
      ByteReader reader = checkpoint.section(std::string("policy ") + role);
      policy.load(reader);
      reader.expect_end();
    });
  }

  template <class F>
  void for_each_stateful(F&& f) {
    const auto visit = [&](const char* role, auto& policy) {
      if constexpr (HasState<std::remove_cvref_t<decltype(policy)>>) f(role, policy);
    };
    visit(roles::Bilevel::name, arch_step_->bilevel());
    visit(roles::ArchRegularizer::name, arch_step_->regularizer());
    visit(roles::DataPruning::name, pruning_);
    visit(roles::Shrinking::name, shrinking_);
    visit(roles::Importance::name, importance_);
    visit(roles::Stopping::name, stopping_);
  }

  // ---- In the graph's other nodes ----

  GraphBodies bodies(const StopSignals& signals) {
    GraphBodies bodies;
    bodies.plan = [this](const PlanRequest& request) {
      return plan_epoch(request, batch_size(), seed(), trains_alpha_in(request.epoch), locality());
    };
    if (shared_.several()) bodies.share = [this](BatchPlan whole) { return shared_.share_of(std::move(whole)); };
    if (loader_.reads()) bodies.read = [this](std::int64_t sample) { return loader_.read(sample); };
    bodies.decode = [this](const BatchPlan& plan, const EncodedBatch& encoded) {
      return resident_ ? loader_.load_crops(plan) : loader_.decode(plan, encoded);
    };
    bodies.step = [this](StepInput&& input) { return with_plain_errors([&] { return step(std::move(input)); }); };
    bodies.end_epoch = [this](const auto& plan) { return with_plain_errors([&] { return end_epoch(plan); }); };
    bodies.snapshot = [this] { return with_plain_errors([&] { return snapshot(); }); };
    bodies.accumulate = [this](const StepReport& report) { accumulate(report); };
    bodies.plan_ahead = [this](const EpochPlan& plan) -> std::optional<PlanRequest> {
      const std::int64_t completed = plan.epoch() + 1;
      if (prunes_after(completed) || completed == epochs()) return std::nullopt;
      return PlanRequest{completed, 0, plan.request.lists, plan.val_state_after};
    };
    bodies.close_epoch = [this](const auto& plan) { return close_epoch(plan); };
    bodies.prune = [this](Split split, const EpochClose& close) { return prune_split(split, close); };
    bodies.finish_epoch = [this](const auto& close, const auto& pruned, const auto& report) {
      return finish_epoch(close, pruned, report);
    };
    bodies.interrupt = [this](Interruption& interruption) {
      shared_.merge(sums_, state_.histories);
      interruption.sums = sums_;
      interruption.histories = copy_histories();
    };
    bodies.save_interruption = [this](const Interruption& interruption) { save_interruption(interruption); };
    bodies.stop_requested = [this, &signals] {
      signal_ = shared_.agree_on_signal(signals.requested());
      return signal_ != 0;
    };
    return bodies;
  }

  [[nodiscard]] bool trains_alpha_in(std::int64_t epoch) const {
    bool trains = trains_alpha;
    if constexpr (HoldsAlpha<typename Method::Relaxation>) trains = trains && relaxation_.trains_alpha(epoch, epochs());
    if constexpr (HoldsAlpha<typename Method::Shrinking>) trains = trains && shrinking_.trains_alpha(epoch, epochs());
    return trains;
  }

  [[nodiscard]] bool prunes_after(std::int64_t completed) const {
    if constexpr (PrunesBetweenEpochs<typename Method::DataPruning>) {
      return pruning_.prunes_after(completed, epochs());
    } else {
      return false;
    }
  }

  void accumulate(const StepReport& report) {
    const auto add = [this](Split split, const std::optional<SplitReport>& part) {
      if (!part) return;
      // On a GPU the device executor may not have seen it yet. It will, and says what broke.
      if (!std::isfinite(part->results->loss())) return;
      const auto count = static_cast<std::int64_t>(part->ids.size());
      sums_.loss[split] += part->results->loss() * static_cast<double>(count);
      sums_.correct[split] += part->results->correct();
      sums_.samples[split] += count;
      if (state_.histories[split]) state_.histories[split]->observe(part->ids, part->results->errors());  // H4a, H6a
    };
    add(Split::val, report.val);
    add(Split::train, report.train);
    const DeviceMarks& marks = report.marks;
    sums_.arch_seconds += marks.idle ? marks.arch_done->since(*marks.begun) : report.arch_seconds;
    sums_.weight_seconds += marks.idle ? marks.weight_done->since(*marks.arch_done) : report.weight_seconds;
    sums_.waited_seconds += marks.idle ? marks.begun->since(*marks.idle) : report.waited_seconds;
    sums_.read_seconds += report.read_seconds;
    sums_.load_seconds += report.load_seconds;
    output_.step(report, sums_, epochs());
  }

  EpochClose close_epoch(const std::shared_ptr<const EpochPlan>& plan) {
    shared_.merge(sums_, state_.histories);
    EpochClose close{.plan = plan, .sums = std::exchange(sums_, {}), .prunes = prunes_after(plan->epoch() + 1)};
    if (data_.dataset->skip_corrupt()) {
      const auto at_opening = static_cast<std::int64_t>(data_.dataset->skipped().size());
      close.skipped = at_opening + shared_.sum(loader_.skipped() - at_opening);
    }
    for (const Split split : all_splits) {
      if (state_.histories[split]) state_.histories[split]->end_epoch();
    }
    if (rebuilds_before(plan->epoch() + 1) && !close.prunes) restart_histories(*plan->request.lists);
    close.histories = copy_histories();
    if (shared_.several() && close.prunes) rank_together(close);
    return close;
  }

  /// Here and not where the splits are pruned: what waits for other processes keeps one order.
  void rank_together(EpochClose& close) {
    if constexpr (PrunesBetweenEpochs<typename Method::DataPruning>) {
      for (const Split split : all_splits) {
        if ((*close.plan->request.lists)[split].empty()) continue;
        close.rankings[split] = std::make_shared<const std::vector<std::uint32_t>>(
            shared_.rank_together(*close.histories[split], order_of(pruning_.rule(split, epochs())), sorter_of(split)));
      }
    }
  }

  [[nodiscard]] Sorter sorter_of(Split split) const {
    return {.backend = sorters_[split] ? SortBackend::cuda : SortBackend::thrust, .device = sorters_[split].get()};
  }

  /// The errors of two networks are not comparable.
  void restart_histories(const SampleLists& lists) {
    for (const Split split : all_splits) {
      if (state_.histories[split]) state_.histories[split].emplace(lists[split]);
    }
  }

  [[nodiscard]] PerSplit<std::shared_ptr<const ErrorHistory>> copy_histories() const {
    PerSplit<std::shared_ptr<const ErrorHistory>> copies;
    for (const Split split : all_splits) {
      if (state_.histories[split]) copies[split] = std::make_shared<const ErrorHistory>(*state_.histories[split]);
    }
    return copies;
  }

  PruneReport prune_split(Split split, const EpochClose& close) {
    PruneReport report;
    if constexpr (PrunesBetweenEpochs<typename Method::DataPruning>) {
      if (!close.prunes || (*close.plan->request.lists)[split].empty()) return report;
      const auto start = Clock::now();
      const std::vector<std::int64_t>& ids = (*close.plan->request.lists)[split];
      std::vector<std::int32_t> labels;
      labels.reserve(ids.size());
      for (const std::int64_t id : ids) labels.push_back(data_.dataset->label(id));
      const PruneRule rule = pruning_.rule(split, epochs());
      const auto prune_alone = [&] {
        const VarianceOfError voe = close.histories[split]->voe();
        return prune(labels, voe.variance, voe.eligible, data_.dataset->classes(), rule, sorter_of(split));
      };
      const PruneEvent event =
          close.rankings[split] ? prune(labels, *close.rankings[split], data_.dataset->classes(), rule) : prune_alone();
      report.pruned = true;
      report.kept.reserve(event.kept.size());
      for (const std::uint32_t position : event.kept) report.kept.push_back(ids[position]);
      report.removed = static_cast<std::int64_t>(event.removed.size());
      report.balance = event.balance;
      report.divisor = event.divisor;
      report.removed_by_class = event.class_removed;
      report.seconds = since(start);
    }
    return report;
  }

  std::optional<PlanRequest> finish_epoch(const EpochClose& close, const PerSplit<PruneReport>& pruned,
                                          const EpochReport& report) {
    const EpochPlan& plan = *close.plan;
    // What a search that stops here would have lost, it keeps.
    const bool prunes = close.prunes && !report.stop;
    const PerSplit<PruneReport> untouched;
    EpochRecord record{.close = &close, .pruned = prunes ? &pruned : &untouched, .report = &report, .epochs = epochs()};
    record.lr = weight_lr(plan.epoch());
    for (const Split split : all_splits) {
      record.balance[split] = class_balance(class_counts((*plan.request.lists)[split], *data_.dataset));
    }
    record.skipped = close.skipped;
    record.importance = Method::Importance::name;
    record.low_is_important = LowIsImportant<typename Method::Importance>;
    if (report.genotype.empty()) {
      output_.epoch(record, {}, {});
    } else {
      record.collapsed_before = genotype_ && Space::collapse_verdict(*genotype_).collapsed();
      genotype_ = Space::from_text(report.genotype);
      record.collapse = Space::collapse_verdict(*genotype_);
      record.true_accuracies = space_.true_accuracies(*genotype_);
      if constexpr (KnowsCosts<Space>) record.cost = space_.cost(*genotype_, network_input(*data_.dataset));
      output_.epoch(record, Space::to_json(*genotype_), Space::to_dot(*genotype_));
    }

    SearchState next{.epoch = plan.epoch() + 1, .lists = plan.request.lists, .val_state = plan.val_state_after};
    if (prunes) {
      next.lists = std::make_shared<const SampleLists>(SampleLists{pruned.train.kept, pruned.val.kept});
      next.val_state = {plan.val_state_after.pass + 1, 0};
      for (const Split split : all_splits) {
        if (!pruned[split].pruned) continue;
        output_.pruned(split, pruned[split]);
        // Windows tile the search: survivors start anew. No step is under way at a pruning boundary.
        next.histories[split].emplace((*next.lists)[split]);
        state_.histories[split] = next.histories[split];
      }
    } else {
      for (const Split split : all_splits) {
        if (close.histories[split]) next.histories[split] = *close.histories[split];
      }
    }
    save_checkpoint(next, *report.snapshot, report.stop);
    state_.epoch = next.epoch;
    state_.step = 0;
    state_.lists = next.lists;
    stopped_ = report.stop;
    if (!prunes || next.epoch == epochs()) return std::nullopt;
    return PlanRequest{next.epoch, 0, next.lists, next.val_state};
  }

  void save_interruption(const Interruption& interruption) {
    SearchState state{.epoch = interruption.plan->epoch(),
                      .step = interruption.step,
                      .lists = interruption.plan->request.lists,
                      .val_state = interruption.plan->request.val_state,
                      .sums = interruption.sums};
    for (const Split split : all_splits) {
      if (interruption.histories[split]) state.histories[split] = *interruption.histories[split];
    }
    save_checkpoint(state, *interruption.snapshot, false);
    state_.step = state.step;
  }

  void save_checkpoint(const SearchState& state, const Snapshot& snapshot, bool stopped) {
    if (!shared_.writes()) return;
    CheckpointWriter writer(identity_);
    put_state(writer, state);
    put_snapshot(writer, snapshot);
    ByteWriter end;
    end.put(stopped);
    end.put_string(genotype_ ? Space::to_text(*genotype_) : std::string());
    writer.add("derived", end);
    store_->save(state.epoch, state.step, std::move(writer).finish());
  }

  /// False where the run was killed before its first checkpoint: it then starts from the beginning.
  bool load_checkpoint() {
    std::string where = "the first process's checkpoint";
    if (shared_.writes()) {
      if (!store_->list().empty()) {
        CheckpointStore::Loaded loaded = store_->load_newest();
        for (const auto& damaged : loaded.damaged) output_.warn(damaged.reason + "; using the one before it");
        where = loaded.entry.path.string();
        checkpoint_.emplace(std::move(loaded.checkpoint));
      }
    }
    if (shared_.several()) {
      auto bytes = shared_.from_first(checkpoint_ ? checkpoint_->bytes() : std::span<const std::byte>());
      if (!shared_.writes() && !bytes.empty()) checkpoint_.emplace(Checkpoint::parse(std::move(bytes), where));
    }
    if (!checkpoint_) {
      output_.info("no checkpoint yet: the search starts from its beginning");
      return false;
    }
    require_same_identity(checkpoint_->identity(), identity_, where);
    state_ = get_state(*checkpoint_);
    if (!shared_.writes()) forget_observations();
    ByteReader derived = checkpoint_->section("derived");
    stopped_ = derived.get<bool>();
    if (const std::string text = derived.get_string(); !text.empty()) genotype_ = Space::from_text(text);
    output_.info("continuing after epoch " + std::to_string(state_.epoch) + ", step " + std::to_string(state_.step) +
                 " (" + where + ")");
    return true;
  }

  /// Of an interrupted epoch: the first process has what all have seen.
  void forget_observations() {
    state_.sums = {};
    for (const Split split : all_splits) {
      if (state_.histories[split]) state_.histories[split]->forget_epoch();
    }
  }

  Options options_;
  Space space_;
  SearchData data_;
  torch::Device device_;
  typename Method::Relaxation relaxation_;
  typename Method::DataPruning pruning_;
  typename Method::Shrinking shrinking_;
  typename Method::Importance importance_;
  typename Method::Stopping stopping_;
  Identity identity_;
  SharedSearch shared_;
  SearchOutput output_;
  std::optional<CheckpointStore> store_;  // the first process's
  PinnedMemory pinned_;
  bool opened_ = false;
  BatchLoader loader_;
  std::optional<ResidentDataset> resident_;
  PerSplit<std::unique_ptr<DeviceSorter>> sorters_;

  SearchState state_;                                 // histories: the accumulator's; the rest: finish epoch's
  EpochSums sums_;                                    // the accumulator's
  std::optional<typename Space::Genotype> genotype_;  // none where the importance was not known yet
  bool stopped_ = false;
  bool resumed_ = false;
  int signal_ = 0;  // the device executor's while the graph runs
  std::optional<Checkpoint> checkpoint_;

  // The device executor's.
  Communicator::Traffic traffic_;                  // before this epoch
  std::optional<GradientSum> gradient_sum_;        // of several processes
  std::shared_ptr<const RankSum> statistics_sum_;  // with --sync-bn
  std::shared_ptr<Supernet> supernet_;
  std::optional<WeightStep> weight_step_;
  std::optional<Arch> arch_step_;
  OpMasks masks_;                     // none: all ops are left
  std::int64_t measured_after_ = -1;  // completed epochs at the last measurement
  std::shared_ptr<const DeviceResults> last_results_;
  std::deque<Unchecked> unchecked_;
  std::shared_ptr<const DeviceMark> idle_since_;
};

}  // namespace flowdarts
