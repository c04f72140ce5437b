// What the command line can say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "limits.hpp"

namespace chat {

struct options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 9091;
  limits allowed;
};

/// Returns the exit status if the program is to end at once: after --help, or after a sentence
/// about what was wrong.
std::optional<int> read_command_line(int argc, char** argv, options& options);

}  // namespace chat
