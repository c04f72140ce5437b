// The options of the chat load generator, and their ranges.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>

#include "load_target.hpp"

namespace bench {

struct chat_load_options : load_target {
  std::size_t members = 500;
  std::size_t rooms = 1;   // The members are distributed over them.
  double rate = 1;         // Messages per second from each member.
  double total_rate = 0;   // From all members together; replaces `rate` if not 0.
  std::size_t size = 64;   // Bytes of text per message.
  double duration_s = 3;   // The measured window.
  double warmup_s = 0.5;   // Before it, once all members are in their rooms.
  std::size_t silent = 0;  // Additional members that never read.
  std::size_t idle = 0;    // Additional members in rooms where no member talks.

  double messages_per_s() const {
    return total_rate > 0 ? total_rate : rate * static_cast<double>(members);
  }
  std::size_t connections() const { return members + silent + idle; }
};

/// Reads the command line. Returns an exit status if the program should end: after --help, or after
/// printing what is wrong.
std::optional<int> read_command_line(int argc, char** argv, chat_load_options& options);

}  // namespace bench
