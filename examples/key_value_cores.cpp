// A key-value server on all cores: each key belongs to one scheduler, and needs no lock.
//
//     $ ./build/examples/key_value_cores 9090
//     listening on 127.0.0.1:9090, 4 schedulers
//     $ nc 127.0.0.1 9090                    # in a second terminal
//     set pears 12
//     stored
//     get pears
//     12
//     count
//     1
//
// Port 0 picks a free port. Ctrl-C ends all schedulers.
//
// Shows: run_main_on_all(), with a scheduler for each CPU that the process may use. A listener on
// each of them; new connections go to the scheduler that has the fewest. per_scheduler: a map on
// each scheduler, which only its thread uses. on(k, f, args...), which calls `f` where the key
// lives and brings the result back. The arguments are copied to the other thread, so they are
// strings and not views of this connection's buffer. Leaves out: expiry, persistence, a limit on
// the number of keys, and timeouts.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>

using namespace ringlet;

namespace {

constexpr std::size_t line_limit = 4096;

// What one scheduler owns.
struct shard {
  std::unordered_map<std::string, std::string> values;
};
using shards = per_scheduler<shard>;

// The following run on the scheduler of the shard.

std::string store(shard& its, const std::string& key, const std::string& value) {
  its.values[key] = value;
  return "stored";
}

std::string find(shard& its, const std::string& key) {
  const auto found = its.values.find(key);
  return found == its.values.end() ? "none" : found->second;
}

std::size_t count_keys(shard& its) { return its.values.size(); }

// The following run on the scheduler of the connection.

task<std::string> count_all(const shards& all) {
  std::size_t sum = 0;
  for (std::size_t k = 0; k < all.size(); ++k) sum += co_await all.on(k, count_keys);
  co_return std::to_string(sum);
}

task<std::string> answer(const shards& all, std::string_view line) {
  const std::size_t end_of_verb = line.find(' ');
  const std::string_view verb = line.substr(0, end_of_verb);
  if (verb == "count") co_return co_await count_all(all);
  std::string_view rest = end_of_verb == line.npos ? "" : line.substr(end_of_verb + 1);
  const std::size_t end_of_key = rest.find(' ');
  const std::string key(rest.substr(0, end_of_key));
  const std::string value(end_of_key == rest.npos ? "" : rest.substr(end_of_key + 1));
  const std::size_t owner = std::hash<std::string>()(key) % all.size();
  if (verb == "get" && !key.empty()) co_return co_await all.on(owner, find, key);
  if (verb == "set" && !key.empty()) co_return co_await all.on(owner, store, key, value);
  co_return "usage: set KEY VALUE, get KEY, count";
}

task<> talk(tcp_stream peer, const shards& all) {
  reader lines(peer, line_limit);
  while (const auto line = co_await lines.read_line()) {
    const std::string reply = co_await answer(all, *line);
    co_await peer.write_all(reply + '\n');
  }
}

void announce(const address& where, std::size_t schedulers) {
  std::printf("listening on %s, %zu schedulers\n", where.to_string().c_str(), schedulers);
  std::fflush(stdout);  // a script that waits for the line reads a pipe
}

// The listener of one scheduler.
struct door {
  explicit door(const tcp_listener_group* group) : listener(group->listen()) {}
  tcp_listener listener;
};

// Runs on the first scheduler. The rest serve what this one starts there.
task<> serve_on_all(std::uint16_t port) {
  const auto all = co_await shards::make();
  const tcp_listener_group group(address::parse("127.0.0.1", port));
  // All listen before one serves: if one cannot, the program ends.
  const auto doors = co_await per_scheduler<door>::make(&group);
  announce(doors.local().listener.local_address(), all.size());
  const auto serve_here = [&]() -> task<> {
    for (;;) spawn(talk, co_await doors.local().listener.accept(), std::cref(all));
  };
  co_await run_on_all(serve_here);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  const char* const text = argc == 2 ? argv[1] : "";
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), port);
  if (error != std::errc() || *end != '\0') {
    std::fprintf(stderr, "usage: key_value_cores PORT (0 for any free one)\n");
    return 2;
  }
  const auto main_task = [port](std::size_t k) -> task<> {
    if (k == 0) co_await serve_on_all(port);
  };
  return run_main_on_all(main_task);
}
