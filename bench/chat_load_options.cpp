// How chat_load_options.hpp is read, with CLI11.
#include "chat_load_options.hpp"

#include <CLI/CLI.hpp>

#include <cstddef>
#include <optional>

#include "chat_line.hpp"
#include "command_line.hpp"

namespace bench {
namespace {

void add_options(CLI::App& app, chat_load_options& options) {
  // The numbers of members have 20 bits in the lines, see numbering in chat_load.cpp.
  const auto crowd = CLI::Range(0, 300'000);
  const auto rates = CLI::Range(0.0001, 1e6);
  add_target(app, options, "chat server", "delivery");
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
  app.add_option("--idle", options.idle, "Further members in rooms where no member talks")
      ->check(crowd);
}

}  // namespace

std::optional<int> read_command_line(int argc, char** argv, chat_load_options& options) {
  CLI::App app("Members of a chat server that talk at a rate, and check every line they get");
  add_options(app, options);
  return parse(app, argc, argv);
}

}  // namespace bench
