// How fast the load stage makes batches, by number of worker threads (up to one a core), from a data set in memory
// (pixels, and crops that a GPU makes pixels of) and from JPEG files, and for comparison how fast libjpeg-turbo alone
// decodes the same files whole. The CPU column is that of all workers.
//
// And what a slow disk costs: 1 % of the reads take 50 ms more, in the flow graph of a search whose device takes no
// time, and where, as a comparison, the threads that decode also read.
//
//   bench_load [--benchmark_...]    JPEGs: $FLOWDARTS_SHARED_DATA/imagenet-sample, else 64 files made on the spot

#include <benchmark/benchmark.h>

// jpeglib.h needs the first two.
// clang-format off
#include <cstddef>
#include <cstdio>
#include <jpeglib.h>
// clang-format on

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <flowdarts/pipeline/flow_graph.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/batch_loader.hpp>
#include <flowdarts/stages/load/image_file.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <fstream>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;
using namespace flowdarts;

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (fs::temp_directory_path() / "flowdarts-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void write_file(const fs::path& file, const std::vector<std::uint8_t>& bytes) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

// Five files of 2000 random records.
std::shared_ptr<const Dataset> cifar_like() {
  const TemporaryDirectory directory;
  CounterRng rng(1, Stream::noise);
  for (int batch = 1; batch <= 5; ++batch) {
    std::vector<std::uint8_t> bytes(2000 * 3073);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(rng());
    for (std::size_t record = 0; record < bytes.size(); record += 3073) bytes[record] %= 10;
    write_file(directory.path() / ("data_batch_" + std::to_string(batch) + ".bin"), bytes);
  }
  return open_dataset({.kind = "cifar10", .path = directory.path()});
}

// 500 x 375, the usual size of ImageNet's images: waves with noise on them.
std::vector<std::uint8_t> synthetic_jpeg(std::uint64_t number) {
  constexpr int width = 500, height = 375;
  CounterRng rng(2, Stream::noise, 0, 0, number);
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < width * height * 3; ++i) {
    const double x = i / 3 % width, y = i / 3 / width;
    pixels.push_back(
        static_cast<std::uint8_t>(128 + 80 * std::sin(0.03 * x * (i % 3 + 1) + 0.02 * y) + 16 * rng.uniform()));
  }
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = width;
  info.image_height = height;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 90, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = pixels.data() + std::size_t{info.next_scanline} * width * 3;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::vector<std::uint8_t> bytes(memory, memory + size);
  std::free(memory);
  return bytes;
}

// The folder of JPEGs to measure with; lives as long as the benchmarks.
class JpegFolder {
 public:
  JpegFolder() {
    const char* shared = std::getenv("FLOWDARTS_SHARED_DATA");
    path_ = fs::path(shared != nullptr ? shared : "") / "imagenet-sample";
    if (shared != nullptr && fs::is_directory(path_)) {
      label_ = "imagenet-sample";
      return;
    }
    made_ = std::make_unique<TemporaryDirectory>();
    path_ = made_->path();
    label_ = "synthetic 500 x 375";
    for (std::uint64_t i = 0; i < 64; ++i) {
      write_file(path_ / "class" / (std::to_string(100 + i) + ".jpg"), synthetic_jpeg(i));
    }
  }
  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] const std::string& label() const { return label_; }

 private:
  std::unique_ptr<TemporaryDirectory> made_;
  fs::path path_;
  std::string label_;
};

using Load = Batch (BatchLoader::*)(const BatchPlan&) const;

// `threads` workers load one pass over the data set in batches.
void load_pass(benchmark::State& state, const std::shared_ptr<const Dataset>& dataset, const LoadOptions& options,
               std::int64_t batch_size, Load load, BatchForm form = BatchForm::images) {
  const BatchLoader loader(dataset, options, 1, {}, std::pmr::new_delete_resource(), form);
  const std::int64_t batches = dataset->size() / batch_size;
  std::int64_t epoch = 0;
  for (auto _ : state) {
    std::atomic<std::int64_t> next = 0;
    const auto work = [&] {
      for (std::int64_t index = next++; index < batches; index = next++) {
        BatchPlan plan{Split::train, epoch, index, std::vector<std::int64_t>(static_cast<std::size_t>(batch_size))};
        std::iota(plan.ids.begin(), plan.ids.end(), index * batch_size);
        benchmark::DoNotOptimize((loader.*load)(plan).labels.data());
      }
    };
    std::vector<std::jthread> workers;
    for (std::int64_t t = 0; t < state.range(0); ++t) workers.emplace_back(work);
    workers.clear();
    ++epoch;
  }
  state.SetItemsProcessed(state.iterations() * batches * batch_size);
}

void BM_LoadCifar(benchmark::State& state, const std::shared_ptr<const Dataset>& dataset) {
  load_pass(state, dataset, {}, 64, &BatchLoader::load);
}

void BM_LoadCifarCrops(benchmark::State& state, const std::shared_ptr<const Dataset>& dataset) {
  load_pass(state, dataset, {}, 64, &BatchLoader::load_crops);
}

void BM_LoadJpegFolder(benchmark::State& state, const JpegFolder& folder,
                       const std::shared_ptr<const Dataset>& dataset) {
  load_pass(state, dataset, {}, 8, &BatchLoader::load);
  state.SetLabel(folder.label());
}

// What is left for the CPU where a GPU finishes the images.
void BM_LoadJpegPixels(benchmark::State& state, const JpegFolder& folder,
                       const std::shared_ptr<const Dataset>& dataset) {
  load_pass(state, dataset, {}, 8, &BatchLoader::load, BatchForm::pixels);
  state.SetLabel(folder.label());
}

// A data set whose every hundredth read, on average, takes 50 ms more.
class SlowDisk final : public Dataset {
 public:
  explicit SlowDisk(std::shared_ptr<const Dataset> dataset)
      : Dataset({.name = dataset->name(),
                 .class_names = dataset->class_names(),
                 .labels = {dataset->labels().begin(), dataset->labels().end()},
                 .geometry = dataset->geometry(),
                 .normalisation = dataset->normalisation()}),
        dataset_(std::move(dataset)) {}

  [[nodiscard]] std::vector<std::uint8_t> read(std::int64_t i) const override {
    if (CounterRng(3, Stream::noise, 0, 0, reads_++).uniform() < 0.01) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return dataset_->read(i);
  }
  void decode(std::int64_t i, std::span<const std::uint8_t> bytes, const ChooseRegion& choose,
              Image& out) const override {
    dataset_->decode(i, bytes, choose, out);
  }

 private:
  std::shared_ptr<const Dataset> dataset_;
  mutable std::atomic<std::uint64_t> reads_ = 0;
};

enum class Reading { ahead, by_decoders };

// A search of one epoch without V: batches of 64, drawn at random, until they are as many as 20 passes over the images.
void graph_epoch(benchmark::State& state, const JpegFolder& folder, const std::shared_ptr<const Dataset>& dataset,
                 Reading reading) {
  constexpr std::int64_t batch_size = 64;
  const BatchLoader loader(dataset, {}, 1, {});
  const std::int64_t batches = 20 * dataset->size() / batch_size;
  GraphBodies bodies;
  bodies.plan = [&](const PlanRequest& request) {
    EpochPlan plan{.request = request};
    CounterRng rng(4, Stream::noise);
    for (std::int64_t step = 0; step < batches; ++step) {
      std::vector<std::int64_t>& ids = plan.train_batches.emplace_back(batch_size);
      for (std::int64_t& id : ids)
        id = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(dataset->size())));
    }
    return plan;
  };
  if (reading == Reading::ahead) {
    bodies.read = [&](std::int64_t sample) { return loader.read(sample); };
    bodies.decode = [&](const BatchPlan& plan, const EncodedBatch& encoded) { return loader.decode(plan, encoded); };
  } else {
    bodies.decode = [&](const BatchPlan& plan, const EncodedBatch&) { return loader.load(plan); };
  }
  bodies.step = [](StepInput&&) { return StepReport(); };
  bodies.end_epoch = [](const auto&) { return EpochReport(); };
  bodies.accumulate = [](const StepReport&) {};
  bodies.plan_ahead = [](const EpochPlan&) { return std::nullopt; };
  bodies.close_epoch = [](const auto& plan) { return EpochClose{.plan = plan}; };
  bodies.prune = [](Split, const EpochClose&) { return PruneReport(); };
  bodies.finish_epoch = [](const EpochClose&, const PerSplit<PruneReport>&, const EpochReport&) {
    return std::nullopt;
  };
  bodies.stop_requested = [] { return false; };
  for (auto _ : state) {
    run_flow_graph(bodies, {.loader_threads = static_cast<int>(state.range(0))},
                   {0, 0, std::make_shared<const SampleLists>(), {}});
  }
  state.SetItemsProcessed(state.iterations() * batches * batch_size);
  state.SetLabel(folder.label());
}

// One thread, no resize, no normalisation: what loading JPEGs is measured against.
void BM_DecodeJpegWhole(benchmark::State& state, const JpegFolder& folder,
                        const std::shared_ptr<const Dataset>& dataset) {
  Image image;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < dataset->size(); ++i) {
      dataset->decode(i, image);
      benchmark::DoNotOptimize(image.pixels.data());
    }
  }
  state.SetItemsProcessed(state.iterations() * dataset->size());
  state.SetLabel(folder.label());
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const std::shared_ptr<const Dataset> cifar = cifar_like();
  const JpegFolder folder;
  const std::shared_ptr<const Dataset> jpegs = open_dataset({.kind = "folder", .path = folder.path()});
  const auto by_threads = [](benchmark::internal::Benchmark* bench) {
    bench->ArgName("threads")->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
    const std::int64_t cores = std::max(1U, std::thread::hardware_concurrency());
    for (std::int64_t threads = 1; threads < cores; threads *= 2) bench->Arg(threads);
    bench->Arg(cores);
  };
  by_threads(benchmark::RegisterBenchmark("load_cifar", BM_LoadCifar, cifar));
  by_threads(benchmark::RegisterBenchmark("load_cifar_crops", BM_LoadCifarCrops, cifar));
  by_threads(benchmark::RegisterBenchmark("load_jpeg_folder", BM_LoadJpegFolder, std::cref(folder), jpegs));
  by_threads(benchmark::RegisterBenchmark("load_jpeg_pixels", BM_LoadJpegPixels, std::cref(folder), jpegs));
  const auto slow = std::make_shared<const SlowDisk>(jpegs);
  const auto in_graph = [&](const char* name, const std::shared_ptr<const Dataset>& dataset, Reading reading) {
    benchmark::RegisterBenchmark(name, graph_epoch, std::cref(folder), dataset, reading)
        ->ArgName("threads")
        ->Arg(2)
        ->UseRealTime()
        ->MeasureProcessCPUTime()
        ->Unit(benchmark::kMillisecond);
  };
  in_graph("graph", jpegs, Reading::ahead);
  in_graph("graph_slow_disk", slow, Reading::ahead);
  in_graph("graph_slow_disk_decoders_read", slow, Reading::by_decoders);
  benchmark::RegisterBenchmark("decode_jpeg_whole", BM_DecodeJpegWhole, std::cref(folder), jpegs)
      ->UseRealTime()
      ->MeasureProcessCPUTime()
      ->Unit(benchmark::kMillisecond);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
