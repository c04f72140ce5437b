// latch: fibers wait until it has been counted down to zero, once.
//
//     latch loaded(3);
//
//     task<> load() {
//       co_await sleep(1ms);
//       loaded.count_down();
//     }
//     task<> load_all(task_group& all) {
//       for (int i = 0; i < 3; ++i) all.spawn(load);
//       co_await loaded.wait();
//     }
//
// For fibers that meet repeatedly, see barrier. To wait for the ends of fibers, see joinall() and
// with_group(), which also handle their errors.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/counted_waiters.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string>

namespace ringlet {

/// A number that is counted down. At zero, all waits end, in the order in which they began, and
/// later ones return at once; it stays zero.
///
/// Errors    None; see Lifetime. Counting below zero aborts.
/// Cancellation  Loses nothing. Success wins: a wait that zero has ended returns true. A fiber that
///           is killed before it counts down leaves the rest waiting: count down in a destructor,
///           or use with_group(), if that can happen.
/// Lifetime  Must outlive the fibers that wait for it; otherwise the destructor aborts. While an
///           exception unwinds the owner, it ends their waits with errc::closed instead, and
///           reports that.
/// Thread    That of the scheduler whose fibers use it. On other threads counting and waiting
///           abort. Other threads count down through scheduler_handle::post().
/// Memory    None.
class latch {
 public:
  /// Has `count` left to count down.
  explicit latch(std::size_t count) noexcept : left_(count) {}
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;
  ~latch();

  /// Subtracts `k`. Aborts if less is left. At zero, ends all waits: 256 at once, and then 256 each
  /// turn of the scheduler. The caller continues.
  void count_down(std::size_t k = 1) noexcept;
  /// How much is left to count down.
  std::size_t left() const noexcept { return left_; }
  /// Whether waits return at once.
  bool is_zero() const noexcept { return left_ == 0; }

  class zero_wait;
  /// Waits until it is zero. Returns true, or false if the limit passed first. May be a part of a
  /// select().
  zero_wait wait(time_limit timeout = forever) noexcept;
  /// Counts down by one, in this call, then waits as wait() does. A fiber that is killed while it
  /// waits has counted all the same.
  zero_wait arrive_and_wait(time_limit timeout = forever) noexcept;

  /// How many fibers wait.
  std::size_t waiting() const noexcept { return waiters_.count.now; }
  /// The most fibers that have waited at once.
  std::size_t waiting_peak() const noexcept { return waiters_.count.peak; }

 private:
  void check_thread() noexcept {
    owner_.check("a latch was used on a thread that is not its scheduler's");
  }

  std::size_t left_;
  detail::affinity owner_;
  detail::counted_waiters waiters_;
};

/// See latch::wait().
class [[nodiscard]] latch::zero_wait : public detail::counted_wait {
 public:
  zero_wait(latch& on, time_limit timeout) noexcept
      : detail::counted_wait(on.waiters_, timeout), on_(&on) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  bool await_resume() { return detail::value_or_throw(take(), "latch"); }

  bool try_now() noexcept {
    on_->check_thread();
    return on_->is_zero();
  }
  void describe(std::string& out) const;
  static const extend::wait_type type;

 private:
  latch* on_;
};

inline latch::zero_wait latch::wait(time_limit timeout) noexcept { return {*this, timeout}; }

inline latch::zero_wait latch::arrive_and_wait(time_limit timeout) noexcept {
  count_down();
  return {*this, timeout};
}

}  // namespace ringlet
