// server_control: stops a server from other fibers, and counts what it does.
//
//     task<> serve(tcp_listener& listener, event& new_configuration) {
//       server_control control;
//       const auto serving = spawn([&]() -> task<> {
//         co_await serve_connections(listener, echo, {}, control);
//       });
//       co_await new_configuration.wait();
//       control.stop();
//       co_await serving.join();
//       show(control.report().cut_off);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/event.hpp>
#include <ringlet/time_limit.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ringlet::detail {

class connection_server;

}  // namespace ringlet::detail

namespace ringlet {

/// What a server has done. `accepted` is the sum of the other counts, besides `peak`, and of the
/// handlers that run.
struct server_report {
  /// How many addresses of peers are kept at most.
  static constexpr std::size_t peers_max = 100;

  /// Connections that the listener returned.
  std::uint64_t accepted = 0;
  /// Connections that were closed because too many handlers were running.
  std::uint64_t refused = 0;
  /// The same, because too many of them had the same peer.
  std::uint64_t refused_per_peer = 0;
  /// Connections that were closed because there was no memory for them.
  std::uint64_t refused_for_memory = 0;
  /// Handlers that returned.
  std::uint64_t finished = 0;
  /// Handlers that threw because the peer had disconnected: see is_disconnect().
  std::uint64_t disconnected = 0;
  /// Handlers that threw something else. Each was reported.
  std::uint64_t failed = 0;
  /// Handlers whose stream was closed because no first byte came.
  std::uint64_t timed_out_at_first_byte = 0;
  /// The same, because no further byte came.
  std::uint64_t timed_out_idle = 0;
  /// The same, because the peer took no bytes.
  std::uint64_t timed_out_in_write = 0;
  /// Handlers that were cancelled: when the time to drain was over, or the call of
  /// serve_connections() was.
  std::uint64_t cut_off = 0;
  /// The peers of the first `peers_max` of them: "192.0.2.1:4711", or "process 4711 of user 1000".
  std::vector<std::string> cut_off_peers = {};
  /// How many handlers have run at once.
  std::size_t peak = 0;
};

/// Stops one call of serve_connections(), and tells what it does. A stop by a signal is seen here,
/// too, so that handlers need to wait for one thing only.
///
/// Lifetime  Must outlive the call that it was given to. A second call with it aborts.
/// Thread    That of the scheduler that serves.
/// Memory    The addresses in its report.
class server_control {
 public:
  server_control() noexcept = default;
  server_control(const server_control&) = delete;
  server_control& operator=(const server_control&) = delete;

  /// The server accepts no more connections, waits for its handlers until
  /// server_limits::drain_timeout has passed, and then cancels them. Idempotent, also before the
  /// call begins. Needs no fiber, and does not wait.
  void stop() noexcept { stop_.set(); }
  /// Whether the server stops, or has stopped.
  bool is_stopping() const noexcept { return stop_.is_set(); }
  /// Waits for a stop. Returns true, or false if the limit passed first. A handler that waits for
  /// its next request can select this and readable(), and so end before the deadline.
  ///
  /// Errors    None.
  /// Cancellation  Loses nothing.
  event::waiting stopping(time_limit timeout = forever) noexcept { return stop_.wait(timeout); }

  /// How many handlers run now.
  std::size_t running() const noexcept { return running_; }
  /// What the server has done so far.
  ///
  /// Errors    std::bad_alloc.
  server_report report() const { return report_; }

 private:
  friend class detail::connection_server;

  event stop_;
  server_report report_;
  std::size_t running_ = 0;
  bool is_used_ = false;
};

}  // namespace ringlet
