// What the chat load generator can be told, and how it checks that it makes sense.
#pragma once

#include <CLI/CLI.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "chat_line.hpp"

namespace bench {

struct chat_load_options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 9090;
  std::size_t members = 500;
  std::size_t rooms = 1;   // The members are spread over them.
  double rate = 1;         // Messages a second of each member.
  double total_rate = 0;   // Of all members together, instead of `rate` if it is not 0.
  std::size_t size = 64;   // Bytes of the text of one message.
  double duration_s = 3;   // Of the measured window.
  double warmup_s = 0.5;   // Before it, once all members are in their rooms.
  std::size_t silent = 0;  // Further members that never read.
  std::size_t idle = 0;    // Further members in rooms where nobody talks.
  pid_t server_pid = 0;    // Whose CPU time to read; 0 for nobody's.
  std::string json_path;   // Where the result goes as JSON; "-" is standard output.

  double messages_per_s() const {
    return total_rate > 0 ? total_rate : rate * static_cast<double>(members);
  }
  std::size_t connections() const { return members + silent + idle; }
};

/// Declares the options on `app`. They are set in `options` once `app` has parsed.
inline void add_chat_load_options(CLI::App& app, chat_load_options& options) {
  // The numbers of members have 20 bits in the lines, see numbering in chat_load.cpp.
  const auto crowd = CLI::Range(0, 300'000);
  const auto rates = CLI::Range(0.0001, 1e6);
  app.add_option("--host", options.host, "Address of the chat server")->capture_default_str();
  app.add_option("--port", options.port, "Its port")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  app.add_option("--members", options.members, "How many members talk and listen")
      ->check(CLI::Range(1, 300'000))
      ->capture_default_str();
  app.add_option("--rooms", options.rooms, "How many rooms they are spread over")
      ->check(CLI::Range(1, 300'000))
      ->capture_default_str();
  auto* rate = app.add_option("--rate", options.rate, "Messages a second of each member")
                   ->check(rates)
                   ->capture_default_str();
  app.add_option("--total-rate", options.total_rate, "Messages a second of all members together")
      ->check(rates)
      ->excludes(rate);
  app.add_option("--size", options.size, "Bytes of the text of one message")
      ->check(CLI::Range(chat_line::text_min, std::size_t{4000}))
      ->capture_default_str();
  app.add_option("--seconds", options.duration_s, "Seconds that are measured")
      ->check(CLI::Range(0.001, 86'400.0))
      ->capture_default_str();
  app.add_option("--warm-up", options.warmup_s, "Seconds before that are not")
      ->check(CLI::Range(0.0, 86'400.0))
      ->capture_default_str();
  app.add_option("--silent", options.silent, "Further members of the rooms that never read")
      ->check(crowd);
  app.add_option("--idle", options.idle, "Further members in rooms where nobody talks")
      ->check(crowd);
  app.add_option("--pid", options.server_pid, "Process whose CPU time per delivery is wanted")
      ->check(CLI::PositiveNumber);
  app.add_option("--json", options.json_path, "File for the result as JSON, - for standard output");
}

}  // namespace bench
