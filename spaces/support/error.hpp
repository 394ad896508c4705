#pragma once
// The two kinds of failure a user can meet. Everything else that is thrown is a defect of flowdarts.

#include <stdexcept>
#include <string>

namespace flowdarts {

/// Bad input: a file, an option, a text. The message is the one line the user sees; it names what was wrong, where,
/// what was found and what was expected. Programs print it and exit with code 2.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A failure while running on good input: disk full, a non-finite loss, a graph node that threw. The message is the one
/// line the user sees. Programs print it and exit with code 1.
class RunError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace flowdarts
