// concurrent_semaphore: at most n fibers or threads, on any schedulers, do something at once.
//
//     concurrent_semaphore connections(20);
//
//     task<rows> ask(query q) {
//       const auto permit = co_await connections.acquire();
//       co_return co_await database.run(q);
//     }
//
// Within one scheduler, semaphore is several times faster.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/permit_line.hpp>
#include <ringlet/detail/short_mutex.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/concurrent_wait.hpp>
#include <ringlet/extend/semaphore_permit.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

namespace ringlet {

/// Permits that fibers and threads acquire and give back. They are served strictly in the order of
/// their arrival: while one waits for more permits than are free, a later one waits, too.
/// acquire(k) takes k permits at once, or none.
///
/// Errors    timed_out. std::invalid_argument if a count is more than `unlimited`, which a negative
///           number is. More permits than that, and a permit that outlives its semaphore, abort.
/// Cancellation  Loses nothing: a fiber that is killed while it waits leaves the line, and those
///           behind it go ahead. Success wins: a fiber that has been given permits gets them, and
///           is interrupted at the next wait.
/// Lifetime  Must outlive its permits and all calls; otherwise the destructor aborts.
/// Thread    Any: fibers of any schedulers await acquire(). Plain threads, those outside of run(),
///           call acquire_blocking(). A permit may be given back on another thread. A thread that
///           acquires and releases in a loop cannot keep others from their turn. While a fiber
///           waits, neither its scheduler nor its runtime reports a deadlock: any thread may
///           release.
/// Memory    None.
class concurrent_semaphore {
 public:
  class acquire_wait;
  /// Permits that a caller has: count() of them, which go back when it is destroyed, on any thread,
  /// or before by release(); split() moves some into another object, and consume() uses all up.
  using permit = extend::semaphore_permit<concurrent_semaphore>;
  /// The largest count.
  static constexpr std::size_t unlimited = std::numeric_limits<std::ptrdiff_t>::max();

  /// With `count` permits. Throws std::invalid_argument if that is out of range.
  explicit concurrent_semaphore(std::size_t count);
  concurrent_semaphore(const concurrent_semaphore&) = delete;
  concurrent_semaphore& operator=(const concurrent_semaphore&) = delete;
  ~concurrent_semaphore();

  /// Waits until it is the caller's turn and `count` permits are free, and takes them. Returns a
  /// `permit` for them, which gives them back. 0 waits for the turn only. May be a part of a
  /// select().
  acquire_wait acquire(std::size_t count = 1, time_limit timeout = forever);
  /// One permit.
  acquire_wait acquire(time_limit timeout);
  /// The same for plain threads: blocks the thread. Aborts on the thread of a scheduler.
  permit acquire_blocking(std::size_t count = 1, const time_limit& timeout = forever);
  permit acquire_blocking(const time_limit& timeout);
  /// Takes `count` permits if they are free and none waits; otherwise returns an empty permit.
  permit try_acquire(std::size_t count = 1);
  /// Adds `count` permits to those that exist. Permits that were acquired come back by themselves:
  /// see permit. Takes time in proportion to the waits that it ends.
  void release(std::size_t count = 1) noexcept;

  /// How many permits are free. While one waits for more of them, no other gets them. Like the next
  /// numbers, this may have changed already.
  std::size_t available() const noexcept { return line_.available(); }
  /// How many fibers and threads wait for permits.
  std::size_t waiting() const noexcept { return line_.waiting(); }
  /// The most fibers and threads that have waited at once.
  std::size_t waiting_peak() noexcept;

 private:
  friend permit;
  static void check(std::size_t count);
  /// True if it has the permits. Otherwise `waiter`, if there is one, joins the line.
  bool take(std::size_t count, detail::concurrent_waiter* waiter) noexcept;
  bool leave(detail::concurrent_waiter& gone) noexcept;
  void give_back(std::size_t count) noexcept;
  void use_up(std::size_t count) noexcept;

  detail::short_mutex mutex_;
  detail::permit_line<> line_;
  std::size_t total_;  // free and held
  int process_;        // that has made it, and in which permits are held
};

/// See concurrent_semaphore::acquire().
class [[nodiscard]] concurrent_semaphore::acquire_wait
    : public extend::basic_concurrent_wait<acquire_wait> {
 public:
  acquire_wait(concurrent_semaphore& from, std::size_t count, time_limit timeout) noexcept
      : extend::basic_concurrent_wait<acquire_wait>(timeout), from_(&from), count_(count) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<permit> take() {
    if (reason_ == extend::cancel_reason::none) return permit(from_, count_);
    return cancellation_error();
  }
  permit await_resume() { return detail::value_or_throw(take(), "acquire"); }

  bool try_now() noexcept { return from_->take(count_, nullptr); }
  bool join_line() noexcept { return from_->take(count_, this); }
  bool leave_line() noexcept { return from_->leave(*this); }
  void give_back() noexcept { from_->give_back(count_); }
  void describe(std::string& out) const;
  static const extend::wait_type type;

 private:
  concurrent_semaphore* from_;
  std::size_t count_;
};

inline concurrent_semaphore::acquire_wait concurrent_semaphore::acquire(std::size_t count,
                                                                        time_limit timeout) {
  check(count);
  return {*this, count, timeout};
}

inline concurrent_semaphore::acquire_wait concurrent_semaphore::acquire(time_limit timeout) {
  return {*this, 1, timeout};
}

inline concurrent_semaphore::permit concurrent_semaphore::acquire_blocking(
    const time_limit& timeout) {
  return acquire_blocking(1, timeout);
}

}  // namespace ringlet
