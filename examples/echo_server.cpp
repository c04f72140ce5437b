// An echo server with options: sends every byte back to its sender.
//
//     $ ./build/examples/echo_server --port 9090
//     listening on 127.0.0.1:9090
//     $ printf 'hello\n' | nc -N 127.0.0.1 9090      # in a second terminal
//     hello
//
// Ctrl-C ends it, connections and all. Port 0 takes a free port, and the first line tells which.
//
// Shows: one fiber per connection, as many connections as the system allows, errors that concern
// one connection and no other: a peer that vanishes ends its own fiber, and nothing is printed.
// Without descriptors or memory for one more connection the server waits and does not end.
// Leaves out: limits on time and on the number of connections. A peer that says nothing is kept for
// ever, and costs a descriptor and a few hundred bytes.
#include <ringlet/ringlet.hpp>

#include <CLI/CLI.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>
#include <string>
#include <system_error>
#include <utility>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

// Every connection is a descriptor. Ten thousand are no feat any more, but the usual soft limit of
// 1,024, made for select(2), stands in their way.
constexpr std::size_t descriptors_wanted = 10'000;
// Connections that end give memory back. Until then further ones wait in the system's queue.
constexpr auto pause_without_memory = 100ms;

task<> echo(tcp_stream peer) {
  while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
}

// False when there is no memory for a fiber: then the connection is closed.
bool begin_echo(tcp_stream peer) {
  try {
    spawn(echo(std::move(peer)));
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// Tells where the server listens. With a port that the system has chosen no client could find
// it without this line.
void announce(const address& where, bool is_needed) {
  const int printed = std::printf("listening on %s\n", where.to_string().c_str());
  const int flushed = std::fflush(stdout);  // a script that waits for the line reads a pipe
  if (is_needed && (printed < 0 || flushed != 0)) {
    throw std::system_error(errno, std::system_category(),
                            "the port cannot be told on standard output");
  }
}

task<> serve(std::string host, std::uint16_t port) {
  auto listener = tcp_listener::bind(address::parse(host, port));
  announce(listener.local_address(), port == 0);
  for (;;) {
    const bool is_served = begin_echo(co_await listener.accept());
    if (!is_served) co_await sleep(pause_without_memory);
  }
}

void make_room_for_connections() {
  const std::size_t descriptors = raise_descriptor_limit();
  if (descriptors >= descriptors_wanted) return;
  std::fprintf(stderr,
               "only %zu descriptors are allowed, and each connection takes one; further ones will "
               "wait (the hard limit, ulimit -Hn, is what to raise)\n",
               descriptors);
}

}  // namespace

int main(int argc, char** argv) {
  std::string host = "127.0.0.1";
  std::uint16_t port = 9090;
  CLI::App app("Sends every byte back to its sender.");
  app.add_option("--host", host, "Numeric address to listen on")->capture_default_str();
  app.add_option("--port", port, "Port to listen on, 0 for any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // 0 after --help
  }

  std::signal(SIGPIPE, SIG_IGN);  // a line that is not read is an error, and not the end
  make_room_for_connections();
  return run_main(serve(host, port));
}
