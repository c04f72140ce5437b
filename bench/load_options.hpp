// The options of the load generator, and their ranges.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>

#include "load_target.hpp"

namespace bench {

struct load_options : load_target {
  std::size_t connections = 500;
  std::size_t size = 64;      // Bytes per message.
  std::size_t depth = 1;      // Messages in flight on each connection.
  std::size_t threads = 1;    // Each with a share of the connections.
  std::size_t reconnect = 0;  // Messages after which a client connects again; 0 for never.
  double duration_s = 3;      // The measured window.
  double warmup_s = 0.5;      // Before it, once all connections are open.
};

/// Reads the command line. Returns an exit status if the program should end: after --help, or after
/// printing what is wrong.
std::optional<int> read_command_line(int argc, char** argv, load_options& options);

}  // namespace bench
