// concurrent_event: a flag that fibers of any schedulers, and plain threads, wait for.
//
//     concurrent_event loaded;
//
//     void load() { fill(cache); loaded.set(); }                   // on a plain thread
//     task<> serve() { co_await loaded.wait(); co_await work(); }  // on each scheduler
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/concurrent_flag.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/concurrent_wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <string>

namespace ringlet {

/// Once set, all waits pass until it is reset. What a thread did before set() is visible to those
/// whose wait has passed. Within one scheduler, event is faster.
///
/// Errors    None.
/// Cancellation  Loses nothing.
/// Lifetime  Must outlive all calls; one destroyed while a fiber or thread waits aborts. When
///           wait() has returned true, set() does not use the event any more, so the waiter may
///           destroy it; is_set() does not tell that.
/// Thread    Any: fibers of any schedulers await wait(). Plain threads, those outside of run(),
///           call wait_blocking(). While a fiber waits, neither its scheduler nor its runtime
///           reports a deadlock: any thread may set the event.
/// Memory    None.
class concurrent_event {
 public:
  concurrent_event() noexcept = default;
  concurrent_event(const concurrent_event&) = delete;
  concurrent_event& operator=(const concurrent_event&) = delete;
  ~concurrent_event();

  /// Whether waits would pass now.
  bool is_set() const noexcept { return flag_.is_set(); }
  /// Ends all current waits, even if reset() follows immediately. The waiters run when their turn
  /// comes. Takes time in proportion to their number.
  void set() noexcept { flag_.set(); }
  /// Later waits suspend again.
  void reset() noexcept { flag_.reset(); }

  /// See wait().
  class [[nodiscard]] waiting;
  /// Waits until the event is set. Returns true, or false if the limit passed first. May be a part
  /// of a select().
  waiting wait(time_limit timeout = forever) noexcept;
  /// The same for plain threads: blocks the thread. Aborts on the thread of a scheduler.
  bool wait_blocking(const time_limit& timeout = forever);

 private:
  detail::concurrent_flag flag_;
};

class concurrent_event::waiting : public extend::basic_concurrent_wait<waiting> {
 public:
  waiting(concurrent_event& on, time_limit timeout) noexcept
      : extend::basic_concurrent_wait<waiting>(timeout), on_(&on) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<bool> take() { return await_resume(); }
  bool await_resume() {
    rethrow_interruption();
    return reason_ == extend::cancel_reason::none;
  }

  bool try_now() noexcept { return on_->flag_.is_set() && on_->flag_.has_passed(); }
  bool join_line() noexcept { return on_->flag_.join(*this); }
  bool leave_line() noexcept { return on_->flag_.leave(*this); }
  void give_back() noexcept {}
  void describe(std::string& out) const;
  static const extend::wait_type type;

 private:
  concurrent_event* on_;
};

inline concurrent_event::waiting concurrent_event::wait(time_limit timeout) noexcept {
  return {*this, timeout};
}

}  // namespace ringlet
