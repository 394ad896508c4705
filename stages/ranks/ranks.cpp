#include <cstdlib>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/ranks/launched.hpp>
#include <flowdarts/stages/ranks/ranks.hpp>
#include <new>

namespace flowdarts {

int launched_processes() {
  // Of Open MPI's mpirun, of srun with PMIx and with PMI2, of Hydra.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    if (const char* value = std::getenv(name)) return std::atoi(value);
  }
  // srun gives each task its number, also where there is no MPI in sight.
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  return tasks != nullptr && std::getenv("SLURM_PROCID") != nullptr ? std::atoi(tasks) : 1;
}

void fail(Ranks& ranks, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const InputError& bad_input) {
    ranks.fail(bad_input.what(), 2);
  } catch (const std::bad_alloc&) {
    ranks.fail("out of memory", 1);
  } catch (const std::exception& failure) {
    ranks.fail(failure.what(), 1);
  } catch (...) {
    ranks.fail("unknown failure", 1);
  }
  std::terminate();  // not reached
}

}  // namespace flowdarts
