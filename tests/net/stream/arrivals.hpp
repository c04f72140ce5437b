// A stream whose request is in flight without a caller, for tests of arrivals.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/deadlock.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/stream_waits.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <source_location>
#include <span>
#include <string>
#include <string_view>

#include "support/stage.hpp"

namespace ringlet::test {

inline constexpr std::string_view closed = "closed by this program";
inline constexpr std::string_view partial_transfer =
    "an earlier call in this direction was cut short; the position in the stream is lost";
// More arrivals than a queue may hold before its request is cancelled.
inline constexpr std::uint32_t many_buffers = 16;

template <class F>
void on_wide_stage(F body) {
  scripted_engine engine(many_buffers);
  detail::run_on(engine, on_new_stage(engine, body), {}, std::source_location::current());
}

// The stream's request in flight.
inline operation& request(stage& s) { return s.engine.oldest(opcode::receive); }
inline bool has_request(const stage& s) { return s.engine.is_waiting(opcode::receive); }
inline std::size_t requests(const stage& s) { return s.engine.started(opcode::receive); }
inline std::size_t cancellations(const stage& s) { return s.engine.cancelled(opcode::receive); }
inline std::size_t own_reads(const stage& s) { return s.engine.started(opcode::recv); }

// Arrivals that are delivered in one batch at the next wait.
inline void deliver(stage& s, std::initializer_list<std::string_view> texts) {
  for (const std::string_view text : texts) s.engine.deliver(request(s), text);
}

// Ends the request with a buffer, as the kernel may do at any time.
inline void deliver_last(stage& s, std::string_view text) {
  request(s).multishot = false;
  s.engine.deliver(request(s), text);
}

// One receive() that leaves its request in flight.
inline task<> begin_receiving(stage& s) {
  const auto first = spawn(outcome_of_receive(s, forever));
  co_await settle();
  s.engine.deliver(request(s), "1st");
  co_await first.join();
  CHECK(has_request(s));
}

inline task<std::string> received(stage& s) {
  const buffer data = co_await s.stream.receive();
  co_return std::string(data.text());
}
inline task<std::string> some(stage& s, std::size_t most) {
  std::string got(most, '-');
  const std::size_t count = co_await s.stream.read_some(std::as_writable_bytes(std::span(got)));
  got.resize(count);
  co_return got;
}
inline task<std::string> exactly(stage& s, std::size_t size) {
  std::string got(size, '-');
  co_await s.stream.read_exact(std::as_writable_bytes(std::span(got)));
  co_return got;
}

inline task<std::string> outcome_of_close(stage& s) {
  return outcome_of([&s] { return s.stream.close(); });
}
inline task<> end_stream(stage& s, bool destroy) {
  if (destroy) {
    s.stream = tcp_stream();
  } else {
    co_await s.stream.close();
  }
}

// Whether an endless wait after `body(stage)` is a deadlock, because no external wait is left.
template <class F>
bool ends_in_deadlock(F body) {
  try {
    on_stage([&](stage& s) -> task<> {
      co_await body(s);
      co_await sleep(std::chrono::hours::max());
    });
  } catch (const deadlock&) {
    return true;
  }
  return false;
}

inline bool is_tcp_read(const byte_call& call) { return call.is_read() && call.on_tcp(); }

// Runs `body(stage, call)` for receive, read_some and read_exact, which are satisfied with three
// bytes, each on a new stage where a request is in flight without a caller.
template <class F>
void for_each_read(F body) {
  for (const byte_call& call : byte_calls) {
    if (!is_tcp_read(call)) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> {
      co_await begin_receiving(s);
      co_await body(s, call);
    });
  }
}

// Makes the call again; true if it works, and takes exactly the bytes that arrive then.
inline task<bool> works_again(stage& s, const byte_call& call) {
  s.memory = {};
  const std::uint64_t before = s.stream.bytes_read();
  const auto again = spawn(call.outcome(s, forever));
  co_await settle();
  if (!call.is_in_flight(s)) co_return false;
  call.complete(s, "xyz");
  const std::string words = co_await again.get();
  const bool in_memory = call.code == opcode::receive || text(s.memory) == "xyz";
  if (words != call.success || !in_memory) co_return false;
  co_return s.stream.bytes_read() == before + 3;
}

}  // namespace ringlet::test
