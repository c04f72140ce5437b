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

struct micro_options {
  std::string json_path;
  std::vector<std::string> only;  // names of rows
  int rounds = 11;
};

/// Reads the command line. Returns an exit status if the program should end: after --help, or after
/// printing what is wrong.
std::optional<int> read_command_line(int argc, char** argv, micro_options& options);

void print(std::span<const figure> figures);

/// Writes to the file `path`, or nowhere if it is empty. Prints an error and returns false if that
/// fails.
bool write_json(const std::string& path, std::span<const figure> figures);

}  // namespace bench
