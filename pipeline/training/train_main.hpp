#pragma once
// The program of `flowdarts train`: command line, configuration, exit codes.

#include <flowdarts/pipeline/training/options.hpp>
#include <flowdarts/policies/options/option_table.hpp>
#include <span>

namespace flowdarts {

/// All options of a training; `options` must outlive the table.
void add_options(OptionTable& table, TrainOptions& options);

/// Exit code 0; 1 for a failure; 2 for bad input; 128 + n after signal n. Errors are one line on stderr.
int train_main(std::span<const char* const> arguments);

}  // namespace flowdarts
