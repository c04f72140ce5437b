// What the chat load generator can be told, and how it checks that it makes sense.
#pragma once

#include <cstddef>
#include <optional>

#include "load_target.hpp"

namespace bench {

struct chat_load_options : load_target {
  std::size_t members = 500;
  std::size_t rooms = 1;   // The members are spread over them.
  double rate = 1;         // Messages a second of each member.
  double total_rate = 0;   // Of all members together, instead of `rate` if it is not 0.
  std::size_t size = 64;   // Bytes of the text of one message.
  double duration_s = 3;   // Of the measured window.
  double warmup_s = 0.5;   // Before it, once all members are in their rooms.
  std::size_t silent = 0;  // Further members that never read.
  std::size_t idle = 0;    // Further members in rooms where no member talks.

  double messages_per_s() const {
    return total_rate > 0 ? total_rate : rate * static_cast<double>(members);
  }
  std::size_t connections() const { return members + silent + idle; }
};

/// Reads the command line. Returns the exit status if the program is to end at once: after --help,
/// or after a sentence about what was wrong.
std::optional<int> read_command_line(int argc, char** argv, chat_load_options& options);

}  // namespace bench
