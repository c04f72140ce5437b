// manual_timeout: a limit that is started and stopped by hand, like gevent's Timeout, for where the
// calls that it limits are not one call that with_timeout() could be given.
//
//     task<> serve(session& peer) {
//       manual_timeout handshake;
//       handshake.start(5s);
//       try {
//         co_await peer.say_hello();
//         co_await peer.exchange_keys();
//       } catch (...) {
//         handshake.rethrow();  // as timed_out, if the limit was the reason
//       }
//       handshake.stop();
//       co_await peer.work();
//     }
//
// Prefer with_timeout(): it cannot be left running.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/cancelled.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/time_limit.hpp>
#include <ringlet/with_timeout.hpp>

#include <optional>

namespace ringlet {

/// A limit for everything that the fiber calls between start() and stop(). When it passes, every
/// wait of the fiber throws `cancelled` until stop() is called; rethrow() turns that exception into
/// timed_out. An exception that comes from elsewhere (a kill, an outer limit) is never swallowed.
///
/// Limits nest: what was started later must end earlier. That is true of two manual_timeouts as
/// well as of a manual_timeout and a with_timeout(), with_group() or shield() that begins or ends
/// between its start() and its stop(). Otherwise the program aborts.
///
/// Errors    start() and restart() throw std::bad_alloc.
/// Cancellation  Success wins, as with with_timeout(): a call that finishes although the limit has
///           passed counts as finished, and stop() then returns false.
/// Lifetime  The destructor calls stop(). The fiber that called start() must call stop(), or
///           destroy the object, before it ends; otherwise the program aborts.
/// Thread    That of the fiber.
/// Memory    start() reserves a place for its timer; passing and stopping do not allocate.
class manual_timeout : private extend::done_watcher {
 public:
  manual_timeout() noexcept;
  manual_timeout(const manual_timeout&) = delete;
  manual_timeout& operator=(const manual_timeout&) = delete;
  ~manual_timeout() { stop(); }

  /// The limit counts from now. Aborts if it was started and not stopped.
  void start(time_limit timeout);
  /// Replaces the limit, counted from now. False if it is too late: the old limit has passed.
  /// Aborts unless it was started.
  bool restart(time_limit timeout) noexcept;
  /// Ends the limit. False if it has passed. Does nothing, and returns true, if it was not started.
  bool stop() noexcept;

  /// Whether it was started and not stopped.
  bool is_active() const noexcept { return scope_.has_value(); }
  /// Whether the limit has passed since it was started. False after stop().
  bool has_passed() const noexcept { return scope_.has_value() && scope_->has_passed(); }
  /// Whether this limit is the reason for that exception. False after stop().
  bool is_reason_of(const cancelled& thrown) const noexcept {
    return scope_.has_value() && thrown.from(static_cast<const extend::scope*>(&*scope_));
  }

  /// For an exception handler: calls stop(), and throws timed_out if this limit is the reason for
  /// the exception that is being handled, else that exception. Aborts outside of a handler.
  [[noreturn]] void rethrow();

 private:
  std::optional<deadline_scope> scope_;
  extend::fiber_base* owner_ = nullptr;
};

}  // namespace ringlet
