// A key-value server: texts under names, in memory, one command a line.
//
//     $ ./build/examples/key_value_server 127.0.0.1:9092
//     listening on 127.0.0.1:9092
//     $ printf 'SET pet cat\nGET pet\nGET car\n' | nc -N 127.0.0.1 9092      # in a second terminal
//     OK
//     VALUE cat
//     NONE
//
// Shows: a reader, which cuts lines and limits their length; data that all connections use without
// a lock, because fibers of one thread change only at a co_await; a group whose fibers fail one by
// one, and that outlives none of what they share; a limit for silent clients and one for clients
// that do not read. Leaves out: a limit on memory, and files.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

using store = std::map<std::string, std::string, std::less<>>;

constexpr std::size_t line_max = 4096;
constexpr auto idle_max = 5min;
constexpr auto write_max = 30s;

std::pair<std::string_view, std::string_view> split(std::string_view text) {
  const std::size_t blank = text.find(' ');
  if (blank == text.npos) return {text, {}};
  return {text.substr(0, blank), text.substr(blank + 1)};
}

std::string answer(std::string_view line, store& values) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  const auto [verb, rest] = split(line);
  const auto [key, value] = split(rest);
  if (verb == "SET" && !key.empty()) {
    values.insert_or_assign(std::string(key), std::string(value));
    return "OK\n";
  }
  if (verb == "GET" && !key.empty() && value.empty()) {
    const auto found = values.find(key);
    return found == values.end() ? "NONE\n" : "VALUE " + found->second + "\n";
  }
  if (verb == "DEL" && !key.empty() && value.empty()) {
    const auto found = values.find(key);
    if (found == values.end()) return "NONE\n";
    values.erase(found);
    return "OK\n";
  }
  return "ERROR unknown command\n";
}

task<> serve(tcp_stream client, store& values) {
  reader in(client, line_max);
  for (;;) {
    // Not read_line(), for which half a command at the end of the stream is a line, too.
    const auto line = co_await as_result(in.read_until("\n", idle_max));
    std::string reply = "ERROR line too long\n";
    if (line) {
      if (!line->has_value()) co_return;  // the client has ended the stream
      reply = answer(**line, values);
    } else if (line.error() == errc::timed_out) {
      co_return;
    } else if (line.error() != errc::too_long) {
      throw_error(line.error(), "client");
    }
    co_await client.write_all(reply, write_max);
  }
}

task<> accept_clients(task_group& clients, tcp_listener& listener, store& values) {
  for (;;) clients.spawn(serve, co_await listener.accept(), std::ref(values));
}

task<> serve_all(const char* where) {
  auto listener = tcp_listener::bind(where);
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  store values;
  co_await with_group(group_options{.on_failure = group_failure::report}, accept_clients, listener,
                      values);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: key_value_server ADDRESS:PORT\n");
    return 2;
  }
  raise_descriptor_limit();
  return run_main(serve_all(argv[1]));
}
