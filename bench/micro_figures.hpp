// What micro.cpp measures, how it is shown, and where it can be written to.
#pragma once

#include <optional>
#include <span>
#include <string>

namespace bench {

/// Nanoseconds per operation.
struct figure {
  const char* name;
  double median;
  double least;  // What it costs when nothing disturbs.
};

/// Reads the command line. Returns the exit status if the program is to end at once: after --help,
/// or after a sentence about what was wrong.
std::optional<int> read_command_line(int argc, char** argv, std::string& json_path);

void print(std::span<const figure> figures);

/// Writes to the file, or nowhere if `path` is empty. False, after a sentence, when it cannot.
bool write_json(const std::string& path, std::span<const figure> figures);

}  // namespace bench
