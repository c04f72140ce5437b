// Forwards connections: a client that connects here talks to another server.
//
//     $ ./build/examples/echo_server --port 9090
//     $ ./build/examples/port_forwarder 127.0.0.1:9000 127.0.0.1:9090       # in a second terminal
//     listening on 127.0.0.1:9000
//     $ printf 'hello\n' | nc -N 127.0.0.1 9000                             # in a third
//     hello
//
// Each side may be a Unix socket instead: a path, or @name for an abstract name. Port 0 picks a
// free port, which the first line shows. When a connection ends, a line says how many bytes went
// there and back. Ctrl-C ends it and all connections.
//
// Shows: relay(), which keeps half-closed connections half-closed and reads no faster than the
// other side accepts; streams of different types through one function, by the concept byte_stream.
// Leaves out: names of hosts, and a limit on the number of connections.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr auto connect_timeout = 10s;
constexpr copy_options options{.idle_timeout = 1h};

// "127.0.0.1:9000" and "[::1]:9000" are TCP; anything with a slash or an @ is a Unix socket.
bool is_unix(std::string_view where) {
  return where.starts_with('@') || where.find('/') != std::string_view::npos;
}

template <byte_stream Client, byte_stream Server>
task<> relay_and_count(Client& client, Server& server) {
  const relayed moved = co_await relay(client, server, options);
  std::printf("%ju bytes there, %ju back\n", std::uintmax_t{moved.there},
              std::uintmax_t{moved.back});
  std::fflush(stdout);
}

template <byte_stream Client>
task<> forward(Client& client, std::string_view target) {
  if (is_unix(target)) {
    unix_stream server = co_await unix_stream::connect(target, connect_timeout);
    co_await relay_and_count(client, server);
  } else {
    tcp_stream server = co_await tcp_stream::connect(address::parse(target), connect_timeout);
    co_await relay_and_count(client, server);
  }
}

// An error ends one connection only: both its sides are closed.
template <byte_stream Client>
task<> serve(Client client, std::string target) {
  const auto served = co_await as_result(forward(client, target));
  if (served) co_return;
  std::fprintf(stderr, "a connection to %s failed: %s\n", target.c_str(),
               served.error().message().c_str());
  client.abort();
}

template <class Listener>
task<> accept_all(Listener listener, std::string target) {
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  for (;;) spawn(serve(co_await listener.accept(), target));
}

task<> run_forwarder(std::string here, std::string target) {
  // A bad target should not wait for the first connection to be noticed.
  if (is_unix(target)) {
    unix_address::parse(target);
  } else {
    address::parse(target);
  }
  if (is_unix(here)) {
    co_await accept_all(unix_listener::bind(here), target);
  } else {
    co_await accept_all(tcp_listener::bind(here), target);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s HERE TARGET\n", argv[0]);
    return 2;
  }
  return run_main(run_forwarder(argv[1], argv[2]));
}
