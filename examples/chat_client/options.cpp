// Parses the command line with CLI11. A separate file, because CLI11 takes long to compile and runs
// only once.
// SPDX-License-Identifier: MIT
#include "options.hpp"

#include <CLI/CLI.hpp>

#include <optional>

namespace chat_client {

std::optional<int> read_command_line(int argc, char** argv, options& options) {
  CLI::App app("A client for chat_server.");
  app.add_option("--host", options.host, "Numeric address of the server")->capture_default_str();
  app.add_option("--port", options.port, "Port of the server")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  app.add_option("--nick", options.nick, "Your nickname; without it, the first line you type");
  app.add_option("--room", options.room, "A room to join");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // 0 after --help
  }
  return std::nullopt;
}

}  // namespace chat_client
