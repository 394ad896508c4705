// The CSV reader of the example prune_scores, and one pruning event on whatever it accepts.

#define main prune_scores_main
#include "../../examples/prune_scores/prune_scores.cpp"
#undef main

#include <cstdlib>
#include <sstream>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::int64_t classes = 10;
  std::istringstream input(std::string(data, data + size));
  try {
    const Window window = read_window(input, "input", classes);
    const auto voe = variance_of_error(window);
    std::vector<std::int32_t> labels(window.samples.size());
    std::ranges::transform(window.samples, labels.begin(), &Sample::label);
    const auto event = flowdarts::prune(labels, voe.variance, voe.eligible, classes, {.ratio = 0.5, .events = 3});
    if (event.kept.size() + event.removed.size() != window.samples.size()) std::abort();
  } catch (const InputError& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();  // one line
  }
  return 0;
}
