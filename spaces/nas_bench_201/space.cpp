#include <flowdarts/spaces/nas_bench_201/draw.hpp>
#include <flowdarts/spaces/nas_bench_201/space.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>

namespace flowdarts {

NasBench201::NasBench201(Options options)
    : options_(std::move(options)),
      table_(options_.benchmark_table.value.empty()
                 ? nas_bench_201::BenchmarkTable::shipped()
                 : nas_bench_201::BenchmarkTable::load(options_.benchmark_table.value)) {}

void NasBench201::check_image_size(int image_size) {
  // The supernet halves the resolution twice, and batch norm needs more than one value of a channel even where a batch
  // has one image.
  if (image_size % 4 != 0 || image_size < 8) {
    throw InputError("--image-size: found " + std::to_string(image_size) +
                     ", expected a multiple of 4, at least 8: the supernet halves the resolution twice");
  }
}

std::shared_ptr<Supernet> NasBench201::make_supernet(std::int64_t classes, int image_size, SupernetForm form) const {
  check_image_size(image_size);
  check(form);
  const nas_bench_201::SupernetSpec spec{
      .channels = options_.channels,
      .cells = options_.cells,
      .classes = classes,
      .conv_bias = options_.conv_bias,
      .track_running_stats = options_.track_statistics,
  };
  if (form.mixed_op == MixedOpForm::fused) {
    return std::make_shared<nas_bench_201::FusedSupernet>(spec, form.precision);
  }
  return std::make_shared<nas_bench_201::OracleSupernet>(spec);
}

std::vector<std::pair<std::string, double>> NasBench201::true_accuracies(const Genotype& genotype) const {
  using nas_bench_201::DataSet;
  return {{"cifar10", table_.accuracy(genotype, DataSet::cifar10)},
          {"cifar100", table_.accuracy(genotype, DataSet::cifar100)},
          {"imagenet16_120", table_.accuracy(genotype, DataSet::imagenet16_120)}};
}

std::string NasBench201::draw(const Genotype& genotype) {
  return nas_bench_201::draw(genotype);
}

}  // namespace flowdarts
