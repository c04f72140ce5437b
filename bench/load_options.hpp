// What the load generator can be told, and how it checks that it makes sense.
#pragma once

#include <cstddef>
#include <optional>

#include "load_target.hpp"

namespace bench {

struct load_options : load_target {
  std::size_t connections = 500;
  std::size_t size = 64;  // Bytes of one message.
  std::size_t depth = 1;  // Messages in flight on each connection.
  double duration_s = 3;  // Of the measured window.
  double warmup_s = 0.5;  // Before it, once all connections stand.
};

/// Reads the command line. Returns the exit status if the program is to end at once: after --help,
/// or after a sentence about what was wrong.
std::optional<int> read_command_line(int argc, char** argv, load_options& options);

}  // namespace bench
