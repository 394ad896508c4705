// Stands in for libFuzzer in a normal build: NAME_fuzz CORPUS MUTATIONS runs the target on every file of the corpus and
// then on that many mutations of them, the same ones every time. The input under test is kept in a file, so that one
// that crashes the process is at hand afterwards.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <flowdarts/spaces/support/random.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

std::vector<Bytes> read_corpus(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) files.push_back(entry.path());
  std::ranges::sort(files);
  std::vector<Bytes> seeds;
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return seeds;
}

Bytes mutate(Bytes bytes, flowdarts::CounterRng& rng) {
  const auto position = [&](std::size_t bound) {
    return static_cast<std::ptrdiff_t>(rng.below(static_cast<std::uint64_t>(bound) + 1));
  };
  for (std::uint64_t changes = 1 + rng.below(4); changes > 0; --changes) {
    const auto from = std::min(position(bytes.size()), position(bytes.size()));  // headers come first
    const auto to = from + position(std::min<std::size_t>(bytes.size() - static_cast<std::size_t>(from), 64));
    switch (rng.below(6)) {
      case 0:
        bytes.resize(static_cast<std::size_t>(position(bytes.size())));
        break;
      case 1:
        bytes.erase(bytes.begin() + from, bytes.begin() + to);
        break;
      case 2: {
        const Bytes copy(bytes.begin() + from, bytes.begin() + to);
        bytes.insert(bytes.begin() + position(bytes.size()), copy.begin(), copy.end());
        break;
      }
      case 3:
        std::fill(bytes.begin() + from, bytes.begin() + std::min(to, from + 4), rng.below(2) == 0 ? 0 : 0xFF);
        break;
      case 4:
        if (from < to) bytes[static_cast<std::size_t>(from)] = static_cast<std::uint8_t>(rng());
        break;
      default:
        if (from < to) bytes[static_cast<std::size_t>(from)] ^= static_cast<std::uint8_t>(1U << rng.below(8));
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " CORPUS MUTATIONS\n";
    return 2;
  }
  const std::vector<Bytes> seeds = read_corpus(argv[1]);
  if (seeds.empty()) {
    std::cerr << argv[1] << ": no seeds\n";
    return 2;
  }
  const std::string kept = std::string(argv[0]) + ".input";
  const int kept_fd = open(kept.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);  // closed by exit
  const auto run = [&](const Bytes& bytes) {
    if (pwrite(kept_fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()) ||
        ftruncate(kept_fd, static_cast<off_t>(bytes.size())) != 0) {
      throw std::runtime_error("cannot write " + kept);
    }
    // A copy of exactly this size: sanitizers see a read past its end.
    const Bytes exact(bytes);
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
  };
  try {
    for (const Bytes& seed : seeds) run(seed);
    const std::uint64_t mutations = std::strtoull(argv[2], nullptr, 10);
    for (std::uint64_t i = 0; i < mutations; ++i) {
      flowdarts::CounterRng rng(1, flowdarts::Stream::noise, 0, 0, i);
      run(mutate(seeds[i % seeds.size()], rng));
    }
  } catch (const std::exception& error) {
    std::cerr << "uncaught exception: " << error.what() << "\nthe input is kept in " << kept << '\n';
    return 1;
  }
  fs::remove(kept);
  return 0;
}
