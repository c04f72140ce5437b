// supervise: restarts a call that failed.
//
//     task<> poll_forever() {
//       const restart_options often{.restarts_max = 10, .pause_first = 1ms};
//       co_await supervise(poll_the_sensor, often);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/fiber.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/spawnable.hpp>
#include <ringlet/task.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

namespace ringlet {

/// How often supervise() restarts a failing call.
struct restart_options {
  /// At most this many restarts within `per`; one more failure is rethrown.
  std::size_t restarts_max = 5;
  /// The time in which restarts are counted.
  std::chrono::nanoseconds per = std::chrono::minutes(1);
  /// The pause before a restart: pause_first, doubled with each further failure, up to pause_max. A
  /// call that ran for `per` without failing resets it.
  std::chrono::nanoseconds pause_first = std::chrono::milliseconds(100);
  /// The longest pause.
  std::chrono::nanoseconds pause_max = std::chrono::seconds(10);
};

}  // namespace ringlet

namespace ringlet::detail {

/// Counts the failures of one supervised call.
/// Thread    Its scheduler's.
class restart_count {
 public:
  explicit restart_count(const restart_options& options) : options_(options) {}
  /// Called when a call that began at `begin` has failed. Returns how long to wait before the next
  /// call, or throws `error` if there were too many failures.
  std::chrono::nanoseconds pause_after(extend::steady_ns begin, const std::exception_ptr& error);

 private:
  void report(const std::exception_ptr& error) const;

  restart_options options_;
  std::deque<extend::steady_ns> restarts_;
  std::chrono::nanoseconds pause_{0};
};

template <class F>
std::invoke_result_t<F&> supervise_call(F f, restart_options options) {
  restart_count restarts(options);
  for (;;) {
    const extend::steady_ns begin = extend::current_scheduler().now();
    std::exception_ptr error;
    try {
      co_return co_await std::invoke(f);
    } catch (const cancelled&) {
      throw;
    } catch (...) {
      error = std::current_exception();
    }
    co_await sleep(restarts.pause_after(begin, error));
  }
}

}  // namespace ringlet::detail

namespace ringlet {

/// Calls `f()`, which returns a task, and awaits it. If the call fails, supervise() calls `f()`
/// again after a pause, until a call succeeds, and returns its value. Each failure that is followed
/// by a restart is reported to options::on_unhandled_error with the pause and the count: "again in
/// 50 ms (2 of 4)", where 4 is restarts_max.
///
/// With g++ 12, first name a callable that has a destructor; see with_timeout().
///
/// Errors    That of the last call, if more than restarts_max calls failed within `per`.
/// Cancellation  Loses what the call loses. Kills and cancelled scopes are not failures and
///           propagate at once; an exception that the fiber is killed with is a failure like any
///           other.
/// Lifetime  `f` is copied. What it refers to must outlive the call.
/// Memory    The frame of the call, and a few words for each restart within `per`.
template <class F>
requires spawnable<F>
auto supervise(F&& f, restart_options options = {}) -> std::invoke_result_t<std::decay_t<F>&> {
  detail::check_temporary<F>();
  return detail::supervise_call<std::decay_t<F>>(std::forward<F>(f), options);
}

}  // namespace ringlet
