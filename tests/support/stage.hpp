// A stage: a stream and a standard stream on a scripted engine, and the calls that can be made on
// them, so that one test can cover all calls in one phase of their life.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/standard_streams.hpp>
#include <ringlet/task.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "support/bytes.hpp"
#include "support/outcome.hpp"
#include "support/scripted_engine.hpp"

namespace ringlet::test {
using namespace extend;

inline constexpr int stream_fd = 7;
inline constexpr int standard_fd = 8;

/// Returns when everything that can happen now has happened: completions are delivered, and the
/// fibers that waited for them have reached their next wait.
inline task<> settle() {
  for (int round = 0; round < 4; ++round) co_await sleep(std::chrono::nanoseconds(0));
}

/// A listener that ringlet created itself, with that number. (An adopted listener accepts one
/// connection at a time.) Needs a scheduler on `engine`.
inline tcp_listener listener_on(scripted_engine& engine, int fd) {
  engine.answer(opcode::open_socket, fd);
  return tcp_listener::bind("127.0.0.1:0");
}

/// Needs a scheduler on `engine`.
struct stage {
  explicit stage(scripted_engine& used) : engine(used) {}

  scripted_engine& engine;
  tcp_stream stream{unique_fd(stream_fd)};
  standard_stream standard{standard_fd};
  std::array<std::byte, 3> memory{};
};

template <class F>
task<> on_new_stage(scripted_engine& engine, F& body) {
  stage made(engine);
  co_await body(made);
}

/// Runs the task that `body(stage&)` returns. Awaits it in a fiber other than the main one, whose
/// kill would end all fibers.
inline task<> beside_main(task<> body) { co_await spawn(std::move(body)).get(); }

template <class F>
void on_stage(F body) {
  scripted_engine engine;
  detail::run_on(engine, beside_main(on_new_stage(engine, body)), {},
                 std::source_location::current());
}

/// One of the calls for bytes; each asks for "abc", and is satisfied with three bytes.
struct byte_call {
  std::string_view name;
  opcode code;
  std::string_view success;
  task<std::string> (*outcome)(stage&, time_limit);

  bool is_read() const noexcept {
    return code == opcode::receive || code == opcode::recv || code == opcode::read;
  }
  int fd() const noexcept {
    return code == opcode::read || code == opcode::write ? standard_fd : stream_fd;
  }
  bool on_tcp() const noexcept { return fd() == stream_fd; }
  /// The operation in flight for the call: its own; or, for a read, the request of an earlier
  /// receive() if there is one.
  opcode engine_code(const stage& s) const {
    const bool borrows = code == opcode::recv && s.engine.is_waiting(opcode::receive, fd());
    return borrows ? opcode::receive : code;
  }
  operation& in_flight(stage& s) const { return s.engine.oldest(engine_code(s), fd()); }
  bool is_in_flight(const stage& s) const { return s.engine.is_waiting(engine_code(s), fd()); }
  /// Lets it succeed: with the bytes or their number.
  void complete(stage& s, std::string_view text = "abc") const {
    if (is_read()) return s.engine.deliver(in_flight(s), text);
    s.engine.complete(in_flight(s), static_cast<std::int32_t>(text.size()));
  }
  /// The next call succeeds at once: the bytes have arrived already, or come with the start.
  void succeed_at_once(stage& s) const {
    if (is_in_flight(s)) return complete(s);
    s.engine.on_start = [this, &s](operation&) { complete(s); };
  }
  void fail(stage& s, int error) const { s.engine.complete(in_flight(s), -error); }
};

inline task<std::string> outcome_of_receive(stage& s, time_limit timeout) {
  return outcome_of([&s, timeout] { return s.stream.receive(timeout); });
}
inline task<std::string> outcome_of_read_some(stage& s, time_limit timeout) {
  return outcome_of([&s, timeout] { return s.stream.read_some(s.memory, timeout); });
}
inline task<std::string> outcome_of_read_exact(stage& s, time_limit timeout) {
  return outcome_of([&s, timeout] { return s.stream.read_exact(s.memory, timeout); });
}
inline task<std::string> outcome_of_write_all(stage& s, time_limit timeout) {
  return outcome_of([&s, timeout] { return s.stream.write_all("abc", timeout); });
}
inline task<std::string> outcome_of_gather(stage& s, time_limit timeout) {
  const std::array parts{bytes("a"), bytes(""), bytes("bc")};
  co_return co_await outcome_of([&] { return s.stream.write_all(parts, timeout); });
}
inline task<std::string> outcome_of_standard_read_some(stage& s, time_limit timeout) {
  return outcome_of([&s, timeout] { return s.standard.read_some(s.memory, timeout); });
}
inline task<std::string> outcome_of_standard_read_exact(stage& s, time_limit timeout) {
  return outcome_of([&s, timeout] { return s.standard.read_exact(s.memory, timeout); });
}
inline task<std::string> outcome_of_standard_write_all(stage& s, time_limit timeout) {
  return outcome_of([&s, timeout] { return s.standard.write_all("abc", timeout); });
}

inline constexpr std::array byte_calls{
    byte_call{"receive", opcode::receive, "3 bytes", &outcome_of_receive},
    byte_call{"read_some", opcode::recv, "3 bytes", &outcome_of_read_some},
    byte_call{"read_exact", opcode::recv, "done", &outcome_of_read_exact},
    byte_call{"write_all", opcode::send, "done", &outcome_of_write_all},
    byte_call{"write_all of parts", opcode::send_message, "done", &outcome_of_gather},
    byte_call{"standard read_some", opcode::read, "3 bytes", &outcome_of_standard_read_some},
    byte_call{"standard read_exact", opcode::read, "done", &outcome_of_standard_read_exact},
    byte_call{"standard write_all", opcode::write, "done", &outcome_of_standard_write_all},
};

}  // namespace ringlet::test
