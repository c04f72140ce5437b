// The load generator: many clients, each of which repeatedly sends a message, waits for its echo
// and checks every byte.
//
//     $ build/examples/echo_server --port 9090 &
//     $ build/bench/load --port 9090 --pid $!
//     500 connections, 64 bytes, depth 1, 3.00 s
//       171043 messages/s, 10.9 MB/s each way
//       ...
//
// A ringlet program with one thread and one fiber per connection. It opens all connections, then
// runs the warm-up, then the measured window. The exit status is 1 if any byte was wrong or any
// connection failed.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <unistd.h>

#include <algorithm>
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

// Shared by all clients.
struct campaign {
  explicit campaign(bench::load_options chosen) : options(std::move(chosen)) {
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
  void count_error(const char* what, const std::exception& error) {
    ++report.errors[std::string(what) + ": " + error.what()];
  }

  bench::load_options options;
  bench::load_report report;
  std::vector<std::byte> pattern;
  std::vector<tcp_stream> streams;
  bool measuring = false;
  bool stopping = false;
};

task<> connect_one(campaign& all, address server) {
  try {
    all.streams.push_back(co_await tcp_stream::connect(server, patience));
  } catch (const std::system_error& error) {
    all.count_error("connect", error);
  }
}

task<> connect_all(campaign& all, address server) {
  all.streams.reserve(all.options.connections);
  for (std::size_t made = 0; made < all.options.connections;) {
    std::vector<fiber<>> batch;
    const std::size_t end = std::min(made + connecting_max, all.options.connections);
    for (; made < end; ++made) batch.push_back(spawn(connect_one(all, server)));
    co_await joinall(batch);
  }
}

// Reads one echo, however it is split, and compares it with the message.
task<> check_echo(campaign& all, tcp_stream& stream, buffer& rest, std::size_t& used,
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
        all.report.wrong_bytes += rest.data()[used + i] != expected[i];
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

// One client. Messages that do not fit into the sockets' buffers are sent by a separate fiber;
// otherwise client and server would wait for each other to read.
task<> talk(campaign& all, tcp_stream& stream) {
  const bool sends_ahead = all.options.size * all.options.depth > sent_ahead_max;
  std::deque<clock_type::time_point> sent_at;
  std::deque<fiber<>> senders;
  std::uint64_t sent = 0, echoed = 0;
  buffer rest;
  std::size_t used = 0;
  while (!all.stopping || echoed < sent) {
    while (!all.stopping && sent - echoed < all.options.depth) {
      const auto message = all.message(sent++);
      sent_at.push_back(clock_type::now());
      if (!sends_ahead) {
        co_await stream.write_all(message);
        continue;
      }
      if (!senders.empty()) co_await senders.back().join();
      senders.push_back(spawn(send(stream, message)));
    }
    if (sent == echoed) break;
    co_await check_echo(all, stream, rest, used, all.message(echoed++));
    if (all.measuring) {
      all.report.latency_ns.add(
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

task<> client(campaign& all, tcp_stream& stream) {
  try {
    co_await talk(all, stream);
  } catch (const std::system_error& error) {
    all.count_error("connection", error);
  }
}

// Waits, and shows progress on a terminal.
task<> let_pass(campaign& all, double seconds, const char* what) {
  const auto end = clock_type::now() + std::chrono::duration_cast<clock_type::duration>(
                                           std::chrono::duration<double>(seconds));
  const bool shown = ::isatty(STDERR_FILENO) == 1;
  while (clock_type::now() < end) {
    if (shown) {
      const std::chrono::duration<double> left = end - clock_type::now();
      std::fprintf(stderr, "\r\033[K%s: %.0f s left, %llu messages", what, left.count(),
                   static_cast<unsigned long long>(all.report.latency_ns.count()));
    }
    co_await sleep_until(std::min(end, clock_type::now() + std::chrono::milliseconds(250)));
  }
  if (shown) std::fprintf(stderr, "\r\033[K");
}

task<> measure(campaign& all) {
  co_await let_pass(all, all.options.warmup_s, "warming up");
  std::optional<bench::cpu_clock> server;
  if (all.options.server_pid != 0) server.emplace(all.options.server_pid);
  const bench::cpu_clock own;
  const std::uint64_t server_before = server ? server->now_ns() : 0;
  const std::uint64_t own_before = own.now_ns();
  const auto begin = clock_type::now();
  all.measuring = true;
  co_await let_pass(all, all.options.duration_s, "measuring");
  all.measuring = false;
  const std::chrono::duration<double> window = clock_type::now() - begin;
  all.report.duration_s = window.count();
  all.report.load_cpu_ns = own.now_ns() - own_before;
  if (server) all.report.server_cpu_ns = server->now_ns() - server_before;
}

task<int> load(campaign& all) {
  const auto server = address::parse(all.options.host, all.options.port);
  co_await connect_all(all, server);
  std::vector<fiber<>> clients;
  for (tcp_stream& stream : all.streams) clients.push_back(spawn(client(all, stream)));
  if (!clients.empty()) co_await measure(all);
  all.stopping = true;
  const bool ended = co_await joinall(clients, patience);
  if (!ended) ++all.report.errors["connection: no echo within 10 s of the end"];
  bench::write_report(all.options, all.report);
  co_return all.report.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  bench::load_options options;
  if (const auto status = bench::read_command_line(argc, argv, options)) return *status;
  bench::require_descriptors(options.connections);
  campaign all(std::move(options));
  return run_main(load(all));
}
