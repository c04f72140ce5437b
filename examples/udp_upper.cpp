// Answers each UDP datagram with the same text in capitals, many clients at once.
//
//     $ ./build/examples/udp_upper 9090
//     listening on 127.0.0.1:9090
//     $ nc -u 127.0.0.1 9090                                # in a second terminal
//     hello
//     HELLO
//
// Also from socat (socat - UDP:127.0.0.1:9090) and from any language. Ctrl-C ends it: it answers
// what it has read, and says how many datagrams it handled.
//
// Shows: udp_server, its limit of handlers and its counts; what a truncated datagram means;
// stopping by shutdown_requested(). Leaves out: letters other than those of ASCII, and a limit per
// client.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string_view>
#include <system_error>

using namespace ringlet;

namespace {

std::byte to_upper(std::byte letter) {
  const char value = static_cast<char>(letter);
  return value >= 'a' && value <= 'z' ? static_cast<std::byte>(value - 'a' + 'A') : letter;
}

task<> answer(udp_request request) {
  if (request.is_truncated) co_return;  // the rest is lost: no answer is better than half of one
  const auto text = request.data.bytes();
  std::transform(text.begin(), text.end(), text.begin(), to_upper);
  co_await request.reply(request.data);
}

task<> serve(address where) {
  udp_server server(udp_socket::bind(where), answer, {.handlers = 1000});
  std::printf("listening on %s\n", server.socket().local_address().to_string().c_str());
  std::fflush(stdout);
  const auto serving = spawn(&udp_server::serve, std::ref(server));
  co_await shutdown_requested();
  server.stop();
  const std::uint64_t lost = server.socket().lost();
  co_await serving.get();
  std::printf(
      "handled %llu, failed %llu, lost %llu\n", static_cast<unsigned long long>(server.handled()),
      static_cast<unsigned long long>(server.failed()), static_cast<unsigned long long>(lost));
}

}  // namespace

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  const std::string_view text = argc == 2 ? argv[1] : "";
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    std::fprintf(stderr, "usage: udp_upper PORT\n");
    return 2;
  }
  return run_main(serve(address::loopback(port)));
}
