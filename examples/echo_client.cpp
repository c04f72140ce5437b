// A client for the echo servers: sends standard input to the server and prints the replies.
//
//     $ ./build/examples/echo_client --port 9090
//     hello
//     hello                                                   (this line came from the server)
//     $ printf 'hello\n' | ./build/examples/echo_client
//     hello
//     $ ./build/examples/echo_client <picture.png | cmp - picture.png && echo same
//     same
//
// At the end of the input (Ctrl-D on a terminal) it shuts down its write direction, prints what
// still arrives, and exits with status 0. If the server hangs up first, it says so and exits with
// status 1. Ctrl-C ends it immediately.
//
// Shows: two fibers that share one stream, one per direction; neither waits for the other, so any
// amount of data gets through. Waiting for terminals, pipes and files as if they were sockets.
// as_result() where the code after an error must run.
// Leaves out: host names (the address is numeric), retrying while the server is not up yet.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

// Both fibers own the stream: whichever ends first, the other one may still be using it.
using shared_stream = std::shared_ptr<tcp_stream>;

task<> send_input(shared_stream server) {
  auto input = standard_input();
  std::vector<std::byte> memory(64 * 1024);
  for (;;) {
    const auto count = co_await as_result(input.read_some(memory));
    if (!count || *count == 0) {
      server->shutdown_write();  // also after an error, or the server would wait for more forever
      if (!count) throw_error(count.error(), "standard input");
      co_return;
    }
    co_await server->write_all(std::span(memory).first(*count));
  }
}

task<int> talk(std::string host, std::uint16_t port) {
  const auto where = address::parse(host, port);
  const auto server = std::make_shared<tcp_stream>(co_await tcp_stream::connect(where, 10s));
  const auto sender = spawn(send_input(server));
  auto output = standard_output();
  while (buffer data = co_await server->receive()) co_await output.write_all(data.bytes());
  if (!sender.done()) {
    std::fprintf(stderr, "the server hung up before the input had ended\n");
    co_return 1;  // the sender is killed when the main task has ended
  }
  co_await sender.get();  // throws the sender's error
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string host = "127.0.0.1";
  std::uint16_t port = 9090;
  CLI::App app("Sends standard input to a server and prints the replies.");
  app.add_option("--host", host, "Numeric address of the server")->capture_default_str();
  app.add_option("--port", port, "Port of the server")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // 0 after --help
  }
  return run_main(talk(host, port));
}
