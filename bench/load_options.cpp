// Parses the options of load_options.hpp with CLI11.
// SPDX-License-Identifier: MIT
#include "load_options.hpp"

#include <CLI/CLI.hpp>

#include <cstddef>
#include <optional>

#include "command_line.hpp"

namespace bench {
namespace {

void add_options(CLI::App& app, load_options& options) {
  const auto longer_than_nothing = CLI::Range(0.001, 86'400.0);
  add_target(app, options, "echo server", "message");
  app.add_option("--connections", options.connections, "Connections to open")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--size", options.size, "Bytes per message")
      ->check(CLI::Range(1, 64 * 1024 * 1024))
      ->capture_default_str();
  app.add_option("--depth", options.depth, "Messages in flight on each connection")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--threads", options.threads, "Threads, each with a share of the connections")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--reconnect", options.reconnect,
                 "Messages after which a client connects again, 0 for never")
      ->check(CLI::Range(0, 1'000'000'000))
      ->capture_default_str();
  app.add_option("--duration", options.duration_s, "Seconds to measure")
      ->check(longer_than_nothing)
      ->capture_default_str();
  app.add_option("--warmup", options.warmup_s, "Seconds of warm-up before that")
      ->check(CLI::Range(0.0, 86'400.0))
      ->capture_default_str();
}

}  // namespace

std::optional<int> read_command_line(int argc, char** argv, load_options& options) {
  CLI::App app("Measures an echo server over many connections and checks every byte");
  add_options(app, options);
  return parse(app, argc, argv);
}

}  // namespace bench
