// Command-line parsing with CLI11, shared by all programs of this folder.
// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include "load_target.hpp"

namespace bench {

/// Returns an exit status if the program should end: after --help, or after printing what is wrong.
inline std::optional<int> parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // 0 after --help
  }
  return std::nullopt;
}

/// --host and --port.
inline void add_endpoint(CLI::App& app, std::string& host, const std::string& about_host,
                         std::uint16_t& port, const std::string& about_port, int port_min) {
  app.add_option("--host", host, about_host)->capture_default_str();
  app.add_option("--port", port, about_port)
      ->check(CLI::Range(port_min, 65535))
      ->capture_default_str();
}

/// The options of both load generators. `server` and `unit` are the words for --help.
inline void add_target(CLI::App& app, load_target& target, const std::string& server,
                       const std::string& unit) {
  add_endpoint(app, target.host, "Address of the " + server, target.port, "Its port", 1);
  app.add_option("--pid", target.server_pid, "Process whose CPU time per " + unit + " to report")
      ->check(CLI::PositiveNumber);
  app.add_option("--json", target.json_path, "File for the result as JSON, - for standard output");
}

}  // namespace bench
