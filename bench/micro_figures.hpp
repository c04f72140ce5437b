// The options and the results of micro.cpp, and how to print and write them.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bench {

/// Nanoseconds per operation.
struct figure {
  const char* name;
  double median;
  double least;  // The cost without disturbances.
};

/// Of the results of several rounds, at least one.
figure figure_of(const char* name, std::vector<double> rounds);

struct micro_options {
  /// Whether to measure that row: all, if `only` names none.
  bool ask_for(const char* name) const;

  std::string json_path;
  std::vector<std::string> only;  // names of rows
  int rounds = 11;
};

/// Reads the command line. Returns an exit status if the program should end: after --help, or after
/// printing what is wrong.
std::optional<int> read_command_line(int argc, char** argv, micro_options& options);

/// Prints the figures, and writes them to a file if the options name one. Returns the exit status
/// of `program`, after a line on standard error if something went wrong.
int report(const char* program, std::span<const figure> figures, const micro_options& options);

}  // namespace bench
