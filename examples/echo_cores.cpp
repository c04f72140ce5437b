// An echo server on all cores: one port, and a scheduler for each core. Ends on Ctrl-C.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>
using namespace ringlet;

task<> echo(tcp_stream peer) {
  while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
}

task<> serve(tcp_listener listener) {
  for (;;) spawn(echo(co_await listener.accept()));
}

int main() {
  const tcp_listener_group port("127.0.0.1:9090");
  // Each scheduler has a listener of its own, and hands connections to those with less to do.
  const auto serve_here = [&] { return serve(port.listen()); };
  return run_main_on_all(serve_here);
}
