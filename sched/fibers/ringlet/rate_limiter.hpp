// rate_limiter: allows at most N operations a second, and short bursts.
//
//     task<> send_all(const std::vector<query>& queries) {
//       rate_limiter requests({.rate = 1000, .burst = 10});
//       for (const query& each : queries) {
//         co_await requests.acquire();
//         spawn(send, each);
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/alarm.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string>

namespace ringlet {

/// `rate` permits in each `per`, of which at most `burst` are saved up.
struct rate_options {
  /// How many permits come in each `per`, at least 1.
  std::uint64_t rate = 1;
  /// The most permits that are saved up, and can be asked for at once; at least 1.
  std::uint64_t burst = 1;
  /// The time in which `rate` permits come, above zero.
  std::chrono::nanoseconds per = std::chrono::seconds(1);
};

/// A token bucket: it holds at most `burst` permits, is full at first, and gains `rate` permits in
/// each `per`. In any time t, it gives out at most burst + t * rate / per permits. The arithmetic
/// is exact: no permit is lost to rounding, at any rate and after any idle time. If the machine is
/// busy and the fibers in line are woken late, they get what has come by then, up to another burst.
///
/// Fibers are served strictly in arrival order, and all permits of an acquire() are taken at once.
/// A small request never overtakes a large one. When a fiber leaves the front of the line, those
/// behind it go ahead if there are permits for them.
///
/// Errors    The constructor throws std::invalid_argument unless rate, burst and per are above
///           zero. acquire() and try_acquire() throw it unless count is 1 to burst.
/// Cancellation  Takes nothing. Success wins: a fiber that has been given its permits returns, and
///           is interrupted at the next wait. Permits cannot be given back.
/// Lifetime  Must outlive the fibers that wait; otherwise the destructor aborts. It may outlive
///           run().
/// Thread    That of the scheduler on which it was made. One that is made outside of run(), as a
///           global variable is, aborts.
/// Memory    None.
class rate_limiter {
 public:
  /// Full at first: `burst` permits can be taken at once.
  explicit rate_limiter(const rate_options& options);
  rate_limiter(const rate_limiter&) = delete;
  rate_limiter& operator=(const rate_limiter&) = delete;
  ~rate_limiter();

  /// See acquire().
  class [[nodiscard]] permit_wait;
  /// See acquire() with a limit.
  class [[nodiscard]] limited_permit_wait;
  /// Waits until there are `count` permits and no fiber is in line before this one, and takes them.
  /// Returns true. May be a part of a select().
  permit_wait acquire(std::uint64_t count = 1);
  /// The same with a limit: returns false if it passed first, and then no permit was taken. clang
  /// warns where a co_await drops the bool; for g++ see tools/check_coroutines.py.
  limited_permit_wait acquire(std::uint64_t count, time_limit timeout);
  /// The same for one permit.
  limited_permit_wait acquire(time_limit timeout);
  /// Takes the permits if there are enough now and no fiber waits.
  bool try_acquire(std::uint64_t count = 1);

  /// How many whole permits it holds.
  std::uint64_t available() noexcept;
  /// The most permits that it can hold.
  std::uint64_t burst() const noexcept { return burst_; }
  /// How many fibers wait.
  std::size_t waiting() const noexcept { return waiting_; }
  /// The most that ever waited at once.
  std::size_t waiting_peak() const noexcept { return waiting_peak_; }

 private:
  // A permit is worth `per_` units, and each nanosecond brings `rate_` of them, so nothing has to
  // be rounded. 128 bits hold the product of any rate and any time.
  __extension__ using units = unsigned __int128;

  void check_count(std::uint64_t count) const;
  void refill() noexcept;
  bool take(std::uint64_t count) noexcept;
  void serve() noexcept;
  void remove(permit_wait& gone) noexcept;

  struct due_alarm : detail::alarm {
    explicit due_alarm(rate_limiter& of);
    rate_limiter* owner;
  };

  std::uint64_t rate_;
  std::uint64_t burst_;
  std::uint64_t per_;
  units level_;
  extend::steady_ns filled_at_;
  extend::wait_list waiters_;
  std::size_t waiting_ = 0;
  std::size_t waiting_peak_ = 0;
  due_alarm alarm_;  // set while a fiber waits
};

class rate_limiter::permit_wait : public extend::list_wait {
 public:
  permit_wait(rate_limiter& on, std::uint64_t count, time_limit timeout) noexcept
      : extend::list_wait(timeout), on_(&on), count_(count) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<bool> take() {
    rethrow_interruption();
    if (reason_ == extend::cancel_reason::closed) return cancellation_error();
    return reason_ == extend::cancel_reason::none;
  }
  bool await_resume() { return detail::value_or_throw(take(), "acquire"); }

  bool try_now() noexcept;
  void watch() noexcept;
  void unwatch() noexcept {
    if (linked()) on_->remove(*this);
  }
  void pass_on() noexcept { on_->serve(); }
  void on_cancel(extend::cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  static const extend::wait_type type;

 private:
  friend class rate_limiter;
  rate_limiter* on_;
  std::uint64_t count_;
};

class rate_limiter::limited_permit_wait : public permit_wait {
 public:
  using permit_wait::permit_wait;
  [[nodiscard]] bool await_resume() { return permit_wait::await_resume(); }
};

inline rate_limiter::permit_wait rate_limiter::acquire(std::uint64_t count) {
  check_count(count);
  return {*this, count, forever};
}

inline rate_limiter::limited_permit_wait rate_limiter::acquire(std::uint64_t count,
                                                               time_limit timeout) {
  check_count(count);
  return {*this, count, timeout};
}

inline rate_limiter::limited_permit_wait rate_limiter::acquire(time_limit timeout) {
  return acquire(1, timeout);
}

}  // namespace ringlet
