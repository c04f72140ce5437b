// The command-line options.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace chat_client {

struct options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 9091;
  std::string nick;
  std::string room;
};

/// Returns an exit status if the program should end: after --help, or after printing what is wrong.
std::optional<int> read_command_line(int argc, char** argv, options& options);

}  // namespace chat_client
