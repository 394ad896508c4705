#define ZLIB_CONST  // zlib does not write its input
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <flowdarts/spaces/nas_bench_201/benchmark_table.hpp>
#include <flowdarts/spaces/nas_bench_201/shipped_table.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <fstream>
#include <functional>
#include <memory>
#include <numeric>

namespace flowdarts::nas_bench_201 {
namespace {

constexpr std::string_view header = "arch,cifar10_test,cifar100_test,imagenet16_120_test";
constexpr std::size_t largest_table = std::size_t{16} << 20U;  // bytes of CSV; a real one has 1.7 million

/// The uncompressed content of a gzip file.
std::string gunzip(std::string_view content, const std::string& name) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) throw RunError(name + ": cannot start zlib");
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> guard(&stream, &inflateEnd);
  stream.next_in = reinterpret_cast<const Bytef*>(content.data());
  stream.avail_in = static_cast<uInt>(content.size());
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = buffer.size();
    const int status = inflate(&stream, Z_NO_FLUSH);
    text.append(buffer.data(), buffer.size() - stream.avail_out);
    if (text.size() > largest_table) {
      throw InputError(name + ": found more than 16 MiB when uncompressed, expected a table of 1.7 MB");
    }
    if (status == Z_STREAM_END) break;
    if (status != Z_OK) {
      throw InputError(name + ": byte " + std::to_string(stream.total_in) + ": found " +
                       (stream.avail_in == 0 ? "the end of the file" : "damaged data") + " inside the gzip stream");
    }
  }
  if (stream.avail_in != 0) {
    throw InputError(name + ": byte " + std::to_string(stream.total_in) + ": found data behind the gzip stream");
  }
  return text;
}

}  // namespace

BenchmarkTable BenchmarkTable::read(std::string_view content, const std::string& name) {
  if (content.size() > largest_table) {
    throw InputError(name + ": found more than 16 MiB, expected a table of 1.7 MB");
  }
  std::string uncompressed;
  if (content.starts_with("\x1f\x8b")) {
    uncompressed = gunzip(content, name);
    content = uncompressed;
  }

  BenchmarkTable table;
  std::vector<int> line_of(genotype_count, 0);
  int line_number = 0;
  const auto refuse = [&](const std::string& what) {
    throw InputError(name + ":" + std::to_string(line_number) + ": " + what);
  };
  int cells = 0;
  while (!content.empty()) {
    ++line_number;
    const std::size_t end = content.find('\n');
    std::string_view line = content.substr(0, end);
    content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line_number == 1) {
      if (line != header) refuse("found " + quote(line, 80) + ", expected the header \"" + std::string(header) + "\"");
      continue;
    }
    if (const auto commas = std::ranges::count(line, ','); commas != 3) {
      refuse("found " + std::to_string(commas + 1) + " fields, expected 4");
    }
    std::size_t comma = line.find(',');
    Genotype genotype;
    try {
      genotype = parse_genotype(line.substr(0, comma));
    } catch (const InputError& error) {
      refuse(error.what());
    }
    int& first_line = line_of[static_cast<std::size_t>(genotype.index())];
    if (first_line != 0) {
      refuse("found " + to_string(genotype) + " again, first in line " + std::to_string(first_line));
    }
    first_line = line_number;
    ++cells;
    for (const DataSet set : all_data_sets) {
      line.remove_prefix(comma + 1);
      comma = std::min(line.find(','), line.size());
      const std::string_view field = line.substr(0, comma);
      double value = 0;
      const auto [rest, status] = std::from_chars(field.data(), field.data() + field.size(), value);
      if (status != std::errc{} || rest != field.data() + field.size() || !(value >= 0 && value <= 100)) {
        refuse(std::string(name_of(set)) + "_test: found " + quote(field) + ", expected a number from 0 to 100");
      }
      table.rows_[static_cast<std::size_t>(genotype.index())].accuracy[at(set)] = value;
    }
  }
  if (cells != genotype_count) {
    const auto missing = std::ranges::find(line_of, 0) - line_of.begin();
    ++line_number;
    refuse("found the end of the table after " + std::to_string(cells) +
           " cells, expected 15625; the first missing is " +
           to_string(Genotype::from_index(static_cast<int>(missing))));
  }
  table.set_ranks();
  return table;
}

BenchmarkTable BenchmarkTable::load(const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) {
    throw InputError(file.string() + ": found a folder, expected a benchmark table");
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw InputError(file.string() + ": cannot open: " + std::strerror(errno));
  std::string content(largest_table + 1, '\0');
  stream.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (stream.bad()) throw InputError(file.string() + ": cannot read: " + std::strerror(errno));
  content.resize(static_cast<std::size_t>(stream.gcount()));
  return read(content, file.string());
}

BenchmarkTable BenchmarkTable::shipped() {
  const auto bytes = shipped_table();
  return read({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "the table that comes with flowdarts");
}

std::vector<Genotype> BenchmarkTable::best(DataSet set) const {
  std::vector<Genotype> cells;
  for (int index = 0; index < genotype_count; ++index) {
    if (rows_[static_cast<std::size_t>(index)].rank[at(set)] == 1) cells.push_back(Genotype::from_index(index));
  }
  return cells;
}

void BenchmarkTable::set_ranks() {
  std::vector<std::size_t> order(rows_.size());
  for (const DataSet set : all_data_sets) {
    const auto accuracy = [this, set](std::size_t row) { return rows_[row].accuracy[at(set)]; };
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::greater{}, accuracy);
    for (std::size_t i = 0; i < order.size(); ++i) {
      const bool tie = i > 0 && accuracy(order[i]) == accuracy(order[i - 1]);
      rows_[order[i]].rank[at(set)] = tie ? rows_[order[i - 1]].rank[at(set)] : static_cast<int>(i) + 1;
    }
  }
}

}  // namespace flowdarts::nas_bench_201
