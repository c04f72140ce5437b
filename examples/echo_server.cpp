// An echo server with options: sends every byte back to its sender.
//
//     $ ./build/examples/echo_server --port 9090
//     listening on 127.0.0.1:9090
//     $ printf 'hello\n' | nc -N 127.0.0.1 9090      # in a second terminal
//     hello
//
// Ctrl-C ends it and all connections. Port 0 picks a free port, which the first line shows. With
// --threads 4 it runs four schedulers, each on a thread of its own; 0 means one for each core.
//
// Shows: one fiber per connection, and as many connections as the system allows. An error affects
// only its own connection: if a peer vanishes, its fiber ends, and nothing is printed. Without
// descriptors or memory for another connection, the server waits instead of ending.
// Leaves out: timeouts, and a limit on the number of connections. A silent peer stays connected
// indefinitely, and costs a descriptor and a few hundred bytes.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <CLI/CLI.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <utility>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

// Every connection takes a descriptor. Ten thousand connections are ordinary today, but the usual
// soft limit, 1,024 because of select(2), does not allow them.
constexpr std::size_t descriptors_wanted = 10'000;
// Connections that end free memory. Until then, new ones wait in the system's backlog.
constexpr auto pause_without_memory = 100ms;

task<> echo(tcp_stream peer) {
  while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
}

// False if there is no memory for a fiber; the connection is then closed.
bool begin_echo(tcp_stream peer) {
  try {
    spawn(echo(std::move(peer)));
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// Prints the address. `is_needed`: the system has chosen the port, so no client could find the
// server without this line.
void announce(const address& where, bool is_needed) {
  const int printed = std::printf("listening on %s\n", where.to_string().c_str());
  const int flushed = std::fflush(stdout);  // a script that waits for the line reads a pipe
  if (is_needed && (printed < 0 || flushed != 0)) {
    throw std::system_error(errno, std::system_category(),
                            "cannot print the port to standard output");
  }
}

task<> serve(tcp_listener listener, std::uint16_t port) {
  if (scheduler_index() == 0) announce(listener.local_address(), port == 0);
  for (;;) {
    const bool is_served = begin_echo(co_await listener.accept());
    if (!is_served) co_await sleep(pause_without_memory);
  }
}

// Runs on one scheduler.
task<> listen_and_serve(std::string host, std::uint16_t port) {
  co_await serve(tcp_listener::bind(address::parse(host, port)), port);
}

// Connections go to the scheduler that has the fewest.
int serve_on_several(std::size_t threads, const std::string& host, std::uint16_t port) {
  try {
    const tcp_listener_group group(address::parse(host, port));
    const auto serve_here = [&] { return serve(group.listen(), port); };
    return run_main_on_all(serve_here, {.threads = threads});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

void make_room_for_connections() {
  const std::size_t descriptors = raise_descriptor_limit();
  if (descriptors >= descriptors_wanted) return;
  std::fprintf(stderr,
               "only %zu descriptors are allowed, one per connection; further connections will "
               "wait (raise the hard limit, ulimit -Hn)\n",
               descriptors);
}

}  // namespace

int main(int argc, char** argv) {
  std::string host = "127.0.0.1";
  std::uint16_t port = 9090;
  std::size_t threads = 1;
  CLI::App app("Sends every byte back to its sender.");
  app.add_option("--host", host, "Numeric address to listen on")->capture_default_str();
  app.add_option("--port", port, "Port to listen on, 0 for any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app.add_option("--threads", threads, "Threads that serve, 0 for one on each core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // 0 after --help
  }

  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe becomes an error, and does not end the program
  make_room_for_connections();
  return threads == 1 ? run_main(listen_and_serve(host, port))
                      : serve_on_several(threads, host, port);
}
