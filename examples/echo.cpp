// An echo server: sends every byte back to its sender. Ends on Ctrl-C.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>
using namespace ringlet;

task<> echo(tcp_stream peer) {
  while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
}

task<> serve() {
  auto listener = tcp_listener::bind("127.0.0.1:9090");
  for (;;) spawn(echo(co_await listener.accept()));
}

int main() { return run_main(serve()); }
