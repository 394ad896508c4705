#pragma once
// How every program ends.

#include <algorithm>
#include <exception>
#include <flowdarts/spaces/support/error.hpp>
#include <iostream>
#include <new>
#include <string>

namespace flowdarts {

/// The exit code that `run` returns, once standard output is written; 2 for an InputError and 1 for any other failure,
/// which are one line on stderr: `name`, what happened. spare_memory: what to do about too little memory, if anything.
template <class Run>
int exit_code_of(const std::string& name, const Run& run, const std::string& spare_memory = "") {
  const auto complain = [&](std::string line, int code) {
    std::ranges::replace(line, '\n', ' ');
    std::cerr << name << ": " << line << "\n";
    return code;
  };
  try {
    const int code = run();
    if (!std::cout.flush()) throw RunError("cannot write to standard output");
    return code;
  } catch (const InputError& error) {
    return complain(error.what(), 2);
  } catch (const std::bad_alloc&) {
    return complain("out of memory" + (spare_memory.empty() ? "" : "; " + spare_memory), 1);
  } catch (const std::exception& error) {
    return complain(error.what(), 1);
  }
}

}  // namespace flowdarts
