// Parses the command line with CLI11. A separate file, because CLI11 takes long to compile and runs
// only once.
// SPDX-License-Identifier: MIT
#include "options.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>

namespace chat {

std::optional<int> read_command_line(int argc, char** argv, options& options) {
  long idle = options.allowed.idle.count();
  long introduction = options.allowed.introduction.count();
  CLI::App app("A chat server: rooms over TCP, for anyone with nc.");
  app.add_option("--host", options.host, "Numeric address to listen on")->capture_default_str();
  app.add_option("--port", options.port, "Port to listen on, 0 for any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app.add_option("--rooms-max", options.allowed.rooms, "Rooms that have members")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--members-max", options.allowed.members, "Simultaneous connections")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--idle", idle, "Seconds after which a silent member is sent away, 0 for never")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--introduction", introduction, "Seconds in which newcomers must say a nickname")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--history", options.allowed.history, "Lines of a room that newcomers get to see")
      ->check(CLI::Range(std::size_t(0), chat::limits::queued_lines / 2))
      ->capture_default_str();
  app.add_option("--rate", options.allowed.rate, "Lines a second that a member may send for long")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // 0 after --help
  }
  options.allowed.idle = std::chrono::seconds(idle);
  options.allowed.introduction = std::chrono::seconds(introduction);
  options.allowed.burst = std::max(1.0, 4 * options.allowed.rate);
  return std::nullopt;
}

}  // namespace chat
