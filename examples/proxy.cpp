// A proxy: connects each client to a server, and copies what either of them sends.
//
//     $ ./build/examples/proxy 127.0.0.1:9093 127.0.0.1:9092      # in front of key_value_server
//     listening on 127.0.0.1:9093
//     $ printf 'SET pet dog\nGET pet\n' | nc -N 127.0.0.1 9093    # in a second terminal
//     OK
//     VALUE dog
//
// Shows: when_all(), for two directions of which neither waits for the other, and which end
// together when one fails; the end of a stream passed on for one direction only; abort(), so that
// neither side takes the half of a transfer for the whole; lent buffers, which are written where
// the kernel put them. The server may have a name, which is looked up for each client. A side that
// does not read slows the other down, at a cost of one buffer. Leaves out: a limit for silent
// connections; relay() copies both directions with one, as in port_forwarder.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstdio>
#include <string>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

task<> copy(tcp_stream& from, tcp_stream& to) {
  while (buffer data = co_await from.receive()) co_await to.write_all(data);
  to.shutdown_write();
}

task<> serve(tcp_stream client, std::string target) {
  tcp_stream server;
  try {
    server = co_await tcp_stream::connect(target, 5s);
    co_await when_all(copy(client, server), copy(server, client));
  } catch (...) {  // also when the proxy is told to end
    client.abort();
    server.abort();
    throw;
  }
}

task<> serve_all(const char* where, std::string target) {
  auto listener = tcp_listener::bind(where);
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  for (;;) spawn(serve(co_await listener.accept(), target));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: proxy ADDRESS:PORT HOST:PORT\n");
    return 2;
  }
  raise_descriptor_limit();
  return run_main(serve_all(argv[1], argv[2]));
}
