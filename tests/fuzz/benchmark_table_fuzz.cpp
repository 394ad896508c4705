// BenchmarkTable::read() of plain or compressed bytes gives a table of percentages, or throws InputError.

#include <cstdint>
#include <cstdlib>
#include <flowdarts/spaces/nas_bench_201/benchmark_table.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace flowdarts::nas_bench_201;
  try {
    const auto table = BenchmarkTable::read({reinterpret_cast<const char*>(data), size}, "fuzz.csv");
    for (const DataSet set : all_data_sets) {
      const double accuracy = table.accuracy(table.best(set).front(), set);
      if (!(accuracy >= 0 && accuracy <= 100)) std::abort();
    }
  } catch (const flowdarts::InputError&) {
  }
  return 0;
}
