// An echo server that the internet may reach: limits, timeouts, and a stop that lets peers finish.
//
//     $ ./build/examples/echo_limits 127.0.0.1:9090
//     listening on 127.0.0.1:9090
//     ^C
//     served 12, refused 3, timed out 1, cut off 1
//     cut off: 127.0.0.1:52814
//
// A peer that sends no byte for 10 s, none for 75 s after the first, or takes none for 60 s, is
// disconnected: the defaults of server_limits. Ctrl-C ends it when its peers have ended, or after
// 4 s. Under a service manager it serves the socket that it is given. Then a new process may start
// before the old one is stopped, and no connection is lost:
//
//     $ systemd-socket-activate -l 9090 ./build/examples/echo_limits
//
// Shows: serve_connections(), server_limits, server_report, listening_descriptors().
// Leaves out: telling handlers that they should end (see server_control::stopping()).
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

using namespace ringlet;

task<> echo(tcp_stream peer) {
  while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
}

task<> serve(std::string where) {
  std::vector<listening_descriptor> given = listening_descriptors();
  tcp_listener listener =
      given.empty() ? tcp_listener::bind(where) : tcp_listener(std::move(given.front().fd));
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  server_limits limits;
  limits.connections = 20'000;
  limits.connections_per_peer = 100;
  limits.busy_line = "too many connections\n";
  const server_report done = co_await serve_connections(listener, echo, limits);
  std::printf(
      "served %ju, refused %ju, timed out %ju, cut off %ju\n",
      std::uintmax_t{done.finished + done.disconnected},
      std::uintmax_t{done.refused + done.refused_per_peer},
      std::uintmax_t{done.timed_out_at_first_byte + done.timed_out_idle + done.timed_out_in_write},
      std::uintmax_t{done.cut_off});
  for (const std::string& peer : done.cut_off_peers) std::printf("cut off: %s\n", peer.c_str());
}

int main(int argc, char** argv) {
  raise_descriptor_limit();
  return run_main(serve(argc > 1 ? argv[1] : "127.0.0.1:9090"));
}
