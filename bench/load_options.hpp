// What the load generator can be told, and how it checks that it makes sense.
#pragma once

#include <CLI/CLI.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace bench {

struct load_options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 9090;
  std::size_t connections = 500;
  std::size_t size = 64;  // Bytes of one message.
  std::size_t depth = 1;  // Messages in flight on each connection.
  double duration_s = 3;  // Of the measured window.
  double warmup_s = 0.5;  // Before it, once all connections stand.
  pid_t server_pid = 0;   // Whose CPU time to read; 0 for nobody's.
  std::string json_path;  // Where the result goes as JSON; "-" is standard output, empty nowhere.
};

/// Declares the options on `app`. They are set in `options` once `app` has parsed.
inline void add_load_options(CLI::App& app, load_options& options) {
  const auto longer_than_nothing = CLI::Range(0.001, 86'400.0);
  app.add_option("--host", options.host, "Address of the echo server")->capture_default_str();
  app.add_option("--port", options.port, "Its port")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  app.add_option("--connections", options.connections, "How many connections to open")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--size", options.size, "Bytes of one message")
      ->check(CLI::Range(1, 64 * 1024 * 1024))
      ->capture_default_str();
  app.add_option("--depth", options.depth, "Messages in flight on each connection")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--duration", options.duration_s, "Seconds that are measured")
      ->check(longer_than_nothing)
      ->capture_default_str();
  app.add_option("--warmup", options.warmup_s, "Seconds before that are not")
      ->check(CLI::Range(0.0, 86'400.0))
      ->capture_default_str();
  app.add_option("--pid", options.server_pid, "Process whose CPU time per message is wanted")
      ->check(CLI::PositiveNumber);
  app.add_option("--json", options.json_path, "File for the result as JSON, - for standard output");
}

}  // namespace bench
