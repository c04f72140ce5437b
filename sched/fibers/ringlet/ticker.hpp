// ticker: a regular beat, which also counts the ticks that a busy fiber has missed.
//
//     ticker beat(10ms, missed_ticks::skip);
//     for (;;) {
//       const std::uint64_t passed = co_await beat.next();
//       if (passed > 1) note_overload(passed - 1);
//       update();
//     }
//
// To call a function regularly in a fiber of its own, use spawn_every().
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <string>

namespace ringlet {

/// What a ticker does when its fiber comes late, that is, more than a period after a tick.
enum class missed_ticks : std::uint8_t {
  /// next() counts all ticks that have passed, and returns at once. The ticks stay on the grid that
  /// began when the ticker was made: a late fiber gets the following tick early. For work that
  /// catches up by itself, and for clocks.
  skip,
  /// next() returns each tick separately: at once, until the fiber has caught up. The ticks stay on
  /// the grid. For work of which each piece has to be done.
  burst,
  /// next() counts all ticks that have passed, and a new grid begins: the following tick comes a
  /// whole period after this return. For pauses that must not become shorter.
  delay,
};

/// Ticks once per period. The first tick comes one period after the ticker was made.
///
/// Errors    timed_out. The constructor throws std::invalid_argument unless the period is above
///           zero.
/// Cancellation  Loses nothing: a tick that next() has not returned is returned by the following
///           next(). Success wins.
/// Lifetime  Must outlive the wait.
/// Thread    That of the scheduler on which it was made. One that is made outside of run(), as a
///           global variable is, aborts. One fiber at a time waits in next(); a second one aborts.
/// Memory    None.
class ticker {
 public:
  /// A period of 146 years or more never passes.
  template <class Rep, class Period>
  explicit ticker(std::chrono::duration<Rep, Period> period,
                  missed_ticks policy = missed_ticks::skip)
      : ticker(time_limit(period), policy) {}
  ticker(const ticker&) = delete;
  ticker& operator=(const ticker&) = delete;
  ~ticker() { check_unused(); }

  /// See next().
  class [[nodiscard]] tick_wait;
  /// Waits for the next tick. Returns how many have passed since the last one that was returned: 1,
  /// plus those that were missed. May be a part of a select().
  tick_wait next(time_limit timeout = forever) noexcept;

  /// Begins a new grid: the next tick comes one period from now. Aborts while a fiber waits.
  void reset() noexcept;
  /// The period that it was made with.
  std::chrono::nanoseconds period() const noexcept { return std::chrono::nanoseconds(period_); }

 private:
  ticker(time_limit period, missed_ticks policy);
  void check_unused() const noexcept;
  std::uint64_t take(extend::steady_ns now) noexcept;

  extend::steady_ns period_;
  extend::steady_ns next_;
  missed_ticks policy_;
  bool is_awaited_ = false;
};

class ticker::tick_wait : public extend::two_phase_wait {
 public:
  tick_wait(ticker& on, time_limit timeout) noexcept
      : extend::two_phase_wait(timeout), on_(&on), timeout_(timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<std::uint64_t> take();
  std::uint64_t await_resume();

  // The limit of this wait is the tick, or its own limit if that passes first.
  bool try_now() noexcept;
  void watch() noexcept { on_->is_awaited_ = true; }
  void unwatch() noexcept { on_->is_awaited_ = false; }
  void on_cancel(extend::cancel_reason reason) noexcept {
    reason_ = reason;
    unwatch();
    conclude();
  }
  void describe(std::string& out) const;
  static const extend::wait_type type;

 private:
  ticker* on_;
  time_limit timeout_;
  std::uint64_t passed_ = 0;
};

inline ticker::tick_wait ticker::next(time_limit timeout) noexcept { return {*this, timeout}; }

}  // namespace ringlet
