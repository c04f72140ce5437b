// The load generator: many clients, each of which repeatedly sends a message, waits for its echo
// and checks every byte.
//
//     $ build/examples/echo_server --port 9090 &
//     $ build/bench/load --port 9090 --pid $!
//     500 connections, 64 bytes, depth 1, 3.00 s
//       171043 messages/s, 10.9 MB/s each way
//       ...
//
// A ringlet program with one fiber per connection. It opens all connections, then runs the warm-up,
// then the measured window. With --threads 2 it has two schedulers, each on a thread of its own and
// with its share of the connections; the result is that of all together. The exit status is 1 if
// any byte was wrong or any connection failed. With --reconnect 1, each message has a connection of
// its own, and the time to connect is a part of its latency.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cpu_clock.hpp"
#include "descriptors_needed.hpp"
#include "load_options.hpp"
#include "load_report.hpp"

using namespace ringlet;
using clock_type = std::chrono::steady_clock;

namespace {

// At most this many connections are opened at the same time: below the backlog of any sensible
// server.
constexpr std::size_t connecting_max = 256;
// Up to this many bytes fit into the sockets' buffers, so they can be sent before reading an echo.
constexpr std::size_t sent_ahead_max = 32 * 1024;
// The time that connections have to finish their last message.
constexpr std::chrono::seconds patience(10);
constexpr std::size_t shifts = 251;

struct campaign;

// The part of one scheduler: only its thread uses it while connections are open.
struct share {
  share(campaign& whole, std::size_t count) : all(whole), connections(count) {}

  void count_error(const char* what, const std::exception& error) {
    ++report.errors[std::string(what) + ": " + error.what()];
  }

  campaign& all;
  std::size_t connections;  // To open.
  bench::load_report report;
  std::vector<tcp_stream> streams;
};

// Shared by all clients, on all schedulers.
struct campaign {
  explicit campaign(bench::load_options chosen) : options(std::move(chosen)) {
    const std::size_t each = options.connections / options.threads;
    const std::size_t rest = options.connections % options.threads;
    for (std::size_t k = 0; k < options.threads; ++k) {
      shares.emplace_back(*this, each + (k < rest ? 1 : 0));
    }
    pattern.resize(options.size + shifts);
    std::uint32_t state = 1;
    for (std::byte& byte : pattern) {
      state = state * 1'664'525u + 1'013'904'223u;
      byte = static_cast<std::byte>(state >> 24);
    }
  }

  // Consecutive messages differ, so an echo of the wrong message is detected.
  std::span<const std::byte> message(std::uint64_t number) const {
    return std::span(pattern).subspan(number % shifts, options.size);
  }
  bool is_connected() const {
    return std::any_of(shares.begin(), shares.end(),
                       [](const share& one) { return !one.streams.empty(); });
  }

  bench::load_options options;
  std::vector<std::byte> pattern;
  std::deque<share> shares;  // By the number of the scheduler.
  std::atomic<bool> measuring = false;
  concurrent_event stopping;
};

task<> connect_one(share& mine, address server) {
  try {
    mine.streams.push_back(co_await tcp_stream::connect(server, patience));
  } catch (const std::system_error& error) {
    mine.count_error("connect", error);
  }
}

task<> connect_all(share& mine, address server) {
  mine.streams.reserve(mine.connections);
  for (std::size_t made = 0; made < mine.connections;) {
    std::vector<fiber<>> batch;
    const std::size_t end = std::min(made + connecting_max, mine.connections);
    for (; made < end; ++made) batch.push_back(spawn(connect_one(mine, server)));
    co_await joinall(batch);
  }
}

// Reads one echo, however it is split, and compares it with the message.
task<> check_echo(share& mine, tcp_stream& stream, buffer& rest, std::size_t& used,
                  std::span<const std::byte> expected) {
  while (!expected.empty()) {
    if (used == rest.size()) {
      rest = co_await stream.receive();
      used = 0;
      if (!rest) throw_error(errc::end_of_stream, "the server closed the connection");
    }
    const std::size_t count = std::min(expected.size(), rest.size() - used);
    if (std::memcmp(rest.data() + used, expected.data(), count) != 0) {
      for (std::size_t i = 0; i < count; ++i) {
        mine.report.wrong_bytes += rest.data()[used + i] != expected[i];
      }
    }
    used += count;
    expected = expected.subspan(count);
  }
  if (used == rest.size()) rest.reset(), used = 0;
}

task<> send(tcp_stream& stream, std::span<const std::byte> message) {
  co_await stream.write_all(message);
}

// One connection of a client. `begun` is when it was asked for, or nothing if it was open before.
// Messages that do not fit into the sockets' buffers are sent by a separate fiber; otherwise client
// and server would wait for each other to read.
task<> talk(share& mine, tcp_stream& stream, std::optional<clock_type::time_point> begun) {
  const campaign& all = mine.all;
  const std::uint64_t sent_max = all.options.reconnect == 0 ? UINT64_MAX : all.options.reconnect;
  const bool sends_ahead = all.options.size * all.options.depth > sent_ahead_max;
  std::deque<clock_type::time_point> sent_at;
  std::deque<fiber<>> senders;
  std::uint64_t sent = 0, echoed = 0;
  buffer rest;
  std::size_t used = 0;
  while (!all.stopping.is_set() || echoed < sent) {
    while (!all.stopping.is_set() && sent < sent_max && sent - echoed < all.options.depth) {
      const auto message = all.message(sent++);
      sent_at.push_back(begun ? *begun : clock_type::now());
      begun.reset();
      if (!sends_ahead) {
        co_await stream.write_all(message);
        continue;
      }
      if (!senders.empty()) co_await senders.back().join();
      senders.push_back(spawn(send(stream, message)));
    }
    if (sent == echoed) break;
    co_await check_echo(mine, stream, rest, used, all.message(echoed++));
    if (all.measuring.load(std::memory_order_relaxed)) {
      mine.report.latency_ns.add(
          static_cast<std::uint64_t>((clock_type::now() - sent_at.front()).count()));
    }
    sent_at.pop_front();
    if (!senders.empty()) {
      fiber<> first = std::move(senders.front());
      senders.pop_front();
      co_await first.get();
    }
  }
}

task<> client(share& mine, tcp_stream& stream) {
  const address server = stream.peer_address();
  try {
    co_await talk(mine, stream, std::nullopt);
    // Only with --reconnect does the conversation end earlier.
    while (!mine.all.stopping.is_set()) {
      co_await stream.close();
      const auto begun = clock_type::now();
      stream = co_await tcp_stream::connect(server, patience);
      co_await talk(mine, stream, begun);
    }
  } catch (const std::system_error& error) {
    mine.count_error("connection", error);
  }
}

// Runs all clients of one scheduler until the campaign stops.
task<> talk_all(share& mine) {
  std::vector<fiber<>> clients;
  for (tcp_stream& stream : mine.streams) clients.push_back(spawn(client(mine, stream)));
  co_await mine.all.stopping.wait();
  const bool ended = co_await joinall(clients, patience);
  if (!ended) {
    ++mine.report.errors["connection: no echo within 10 s of the end"];
    co_await killall(clients);
  }
  mine.streams.clear();
}

// Waits, and shows progress on a terminal.
task<> let_pass(double seconds, const char* what) {
  const auto end = clock_type::now() + std::chrono::duration_cast<clock_type::duration>(
                                           std::chrono::duration<double>(seconds));
  const bool shown = ::isatty(STDERR_FILENO) == 1;
  while (clock_type::now() < end) {
    if (shown) {
      const std::chrono::duration<double> left = end - clock_type::now();
      std::fprintf(stderr, "\r\033[K%s: %.0f s left", what, left.count());
    }
    co_await sleep_until(std::min(end, clock_type::now() + std::chrono::milliseconds(250)));
  }
  if (shown) std::fprintf(stderr, "\r\033[K");
}

task<> measure(campaign& all, bench::load_report& report) {
  co_await let_pass(all.options.warmup_s, "warming up");
  std::optional<bench::cpu_clock> server;
  if (all.options.server_pid != 0) server.emplace(all.options.server_pid);
  const bench::cpu_clock own;
  const std::uint64_t server_before = server ? server->now_ns() : 0;
  const std::uint64_t own_before = own.now_ns();
  const auto begin = clock_type::now();
  all.measuring = true;
  co_await let_pass(all.options.duration_s, "measuring");
  all.measuring = false;
  const std::chrono::duration<double> window = clock_type::now() - begin;
  report.duration_s = window.count();
  report.load_cpu_ns = own.now_ns() - own_before;
  if (server) report.server_cpu_ns = server->now_ns() - server_before;
}

task<> talk_everywhere(campaign& all) {
  const auto talk_here = [&all](std::size_t k) { return talk_all(all.shares[k]); };
  co_await run_on_all(talk_here);
}

task<int> load(campaign& all) {
  const auto server = address::parse(all.options.host, all.options.port);
  const auto connect_here = [&](std::size_t k) { return connect_all(all.shares[k], server); };
  co_await run_on_all(connect_here);
  const fiber<> talking = spawn(talk_everywhere(all));
  bench::load_report report;
  if (all.is_connected()) co_await measure(all, report);
  all.stopping.set();
  co_await talking.get();
  for (const share& one : all.shares) report.merge(one.report);
  bench::write_report(all.options, report);
  co_return report.exit_status();
}

// The first scheduler directs the measurement; the rest run what it calls there.
task<int> load_on(campaign& all, std::size_t k) {
  if (k != 0) co_return 0;
  co_return co_await load(all);
}

}  // namespace

int main(int argc, char** argv) {
  bench::load_options options;
  if (const auto status = bench::read_command_line(argc, argv, options)) return *status;
  bench::require_descriptors(options.connections);
  campaign all(std::move(options));
  if (all.options.threads == 1) return run_main(load(all));
  const auto load_here = [&all](std::size_t k) { return load_on(all, k); };
  return run_main_on_all(load_here, {.threads = all.options.threads});
}
