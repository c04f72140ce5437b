// Parses the options of chat_load_options.hpp with CLI11.
// SPDX-License-Identifier: MIT
#include "chat_load_options.hpp"

#include <CLI/CLI.hpp>

#include <cstddef>
#include <optional>

#include "chat_line.hpp"
#include "command_line.hpp"

namespace bench {
namespace {

void add_options(CLI::App& app, chat_load_options& options) {
  // Member numbers have 20 bits; see numbering_base() in chat_load.cpp.
  const auto crowd = CLI::Range(0, 300'000);
  const auto rates = CLI::Range(0.0001, 1e6);
  add_target(app, options, "chat server", "delivery");
  app.add_option("--members", options.members, "Members that talk and listen")
      ->check(CLI::Range(1, 300'000))
      ->capture_default_str();
  app.add_option("--rooms", options.rooms, "Rooms over which they are distributed")
      ->check(CLI::Range(1, 300'000))
      ->capture_default_str();
  auto* rate = app.add_option("--rate", options.rate, "Messages per second from each member")
                   ->check(rates)
                   ->capture_default_str();
  app.add_option("--total-rate", options.total_rate,
                 "Messages per second from all members together")
      ->check(rates)
      ->excludes(rate);
  app.add_option("--size", options.size, "Bytes of text per message")
      ->check(CLI::Range(chat_line::text_min, std::size_t{4000}))
      ->capture_default_str();
  app.add_option("--seconds", options.duration_s, "Seconds to measure")
      ->check(CLI::Range(0.001, 86'400.0))
      ->capture_default_str();
  app.add_option("--warm-up", options.warmup_s, "Seconds of warm-up before that")
      ->check(CLI::Range(0.0, 86'400.0))
      ->capture_default_str();
  app.add_option("--silent", options.silent, "Additional members of the rooms that never read")
      ->check(crowd);
  app.add_option("--idle", options.idle, "Additional members in rooms where no member talks")
      ->check(crowd);
}

}  // namespace

std::optional<int> read_command_line(int argc, char** argv, chat_load_options& options) {
  CLI::App app("Chat members that talk at a fixed rate and check every line they get");
  add_options(app, options);
  return parse(app, argc, argv);
}

}  // namespace bench
