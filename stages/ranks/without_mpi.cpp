#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/ranks/launched.hpp>
#include <flowdarts/stages/ranks/ranks.hpp>

namespace flowdarts {

std::unique_ptr<Ranks> open_ranks(const std::string& /* program */, const WatchSettings& /* watch */) {
  if (const int processes = launched_processes(); processes > 1) {
    throw InputError("started as one of " + std::to_string(processes) +
                     " processes, but this build knows one only: expected a build with -DFLOWDARTS_MPI=ON");
  }
  return std::make_unique<Ranks>();
}

}  // namespace flowdarts
