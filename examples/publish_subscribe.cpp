// Publish and subscribe, where a subscriber that is slow harms only itself.
//
//     $ ./build/examples/publish_subscribe 127.0.0.1:9094 10
//     listening on 127.0.0.1:9094
//     $ nc 127.0.0.1 9094                                          # in a second terminal
//     SUBSCRIBE
//     hello
//     $ printf 'PUBLISH\nhello\n' | nc -N 127.0.0.1 9094           # in a third
//
// A subscriber that is more than 1,024 lines behind loses the oldest ones, and is told how many;
// one that takes nothing for 10 seconds is disconnected.
//
// Shows: broadcast, a ring of items that is made once, however many subscribers there are and
// however slow they are; lines that are shared, not copied; select(), to see that a subscriber has
// gone while nothing is published; all lines that are there in one write, with a limit; sleep(0s),
// so that a burst does not overwrite lines before the subscribers have written the earlier ones.
// Leaves out: topics, names of publishers.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

using line = std::shared_ptr<const std::string>;

constexpr std::size_t behind_max = 1024;
constexpr std::size_t in_a_row_max = 128;     // lines that are sent before subscribers write
constexpr std::size_t batch_max = 64 * 1024;  // bytes of one write, except for the last line

task<> publish(reader& in, broadcast<line>& lines) {
  std::size_t in_a_row = 0;
  while (const auto text = co_await in.read_line()) {
    co_await lines.send(std::make_shared<const std::string>(std::string(*text) + "\n"));
    // Lines that have arrived are read and sent without waiting, however many there are. yield()
    // would not help here: it lets fibers run, but does not wait for the writes that they begin.
    if (++in_a_row % in_a_row_max == 0) co_await sleep(0s);
  }
}

task<> send_lines(tcp_stream& to, broadcast<line>::subscriber lines, time_limit stalled_max) {
  std::uint64_t missed = 0;
  for (;;) {
    auto next = co_await select(lines.next(), to.readable());
    if (next.index() == 1) {
      const buffer ignored = co_await to.receive();
      if (ignored.empty()) co_return;  // the subscriber has gone
      continue;
    }
    std::string text;
    if (lines.missed() != missed) {
      text = "(" + std::to_string(lines.missed() - missed) + " lines missed)\n";
      missed = lines.missed();
    }
    for (auto more = std::get<0>(std::move(next)); more; more = lines.try_receive()) {
      text += **more;
      if (text.size() >= batch_max) break;
    }
    co_await to.write_all(text, stalled_max);
  }
}

task<> serve(tcp_stream client, broadcast<line>& lines, time_limit stalled_max) {
  reader in(client);
  const auto role = co_await in.read_line();
  if (role == "PUBLISH") {
    co_await publish(in, lines);
  } else if (role == "SUBSCRIBE") {
    co_await send_lines(client, lines.subscribe(), stalled_max);
  } else {
    co_await client.write_all("PUBLISH or SUBSCRIBE?\n", stalled_max);
  }
}

task<> accept_clients(task_group& clients, tcp_listener& listener, broadcast<line>& lines,
                      time_limit stalled_max) {
  for (;;) {
    clients.spawn(serve, co_await listener.accept(), std::ref(lines), stalled_max);
  }
}

task<> serve_all(const char* where, std::chrono::seconds stalled_max) {
  auto listener = tcp_listener::bind(where);
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  broadcast<line> lines(behind_max, lag_policy::drop_oldest);
  co_await with_group(group_options{.on_failure = group_failure::report}, accept_clients, listener,
                      lines, stalled_max);
}

}  // namespace

int main(int argc, char** argv) {
  const long seconds = argc == 3 ? std::atol(argv[2]) : 0;
  if (seconds < 1) {
    std::fprintf(stderr, "usage: publish_subscribe ADDRESS:PORT SECONDS\n");
    return 2;
  }
  raise_descriptor_limit();
  return run_main(serve_all(argv[1], std::chrono::seconds(seconds)));
}
