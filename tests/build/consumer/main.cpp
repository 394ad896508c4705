// Uses a library of flowdarts, LibTorch's headers and, at run time, LibTorch itself.

#include <ATen/Parallel.h>

#include <cstdio>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/spaces/support/version.hpp>

int main() {
  std::printf("flowdarts %s, LibTorch with %d threads\n", flowdarts::version_text, at::get_num_threads());
  return at::get_num_threads() > 0 ? 0 : 1;
}
