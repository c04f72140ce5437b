// recursive_mutex: a mutex that its holder may lock again, as Python's RLock.
//
//     recursive_mutex lock;
//     std::vector<std::string> log;
//
//     task<> add(std::string line) {
//       const auto held = co_await lock.lock();
//       log.push_back(std::move(line));
//     }
//     task<> add_both(std::string first, std::string second) {
//       const auto held = co_await lock.lock();  // no other line comes between these
//       co_await add(std::move(first));
//       co_await add(std::move(second));
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/lock_base.hpp>
#include <ringlet/extend/lock_guard.hpp>
#include <ringlet/extend/lock_wait.hpp>
#include <ringlet/time_limit.hpp>

#include <cstddef>

namespace ringlet {

/// Like mutex, but the fiber that holds it may lock it again without waiting. It is unlocked when
/// the last guard of that fiber has gone.
///
/// Errors    timed_out. `deadlock`, as mutex, except that its holder may lock it again.
/// Cancellation  Loses nothing: a fiber that is killed while it waits leaves the line. Success
///           wins: a fiber that has been given the mutex gets its guard, and is interrupted at the
///           next wait.
/// Lifetime  Must outlive its guards and the fibers that wait; otherwise the destructor aborts. A
///           guard must not outlive its fiber.
/// Thread    That of the scheduler whose fibers use it. On other threads locking and unlocking
///           abort.
/// Memory    None.
class recursive_mutex : public detail::lock_base {
 public:
  /// What lock() returns: undoes that lock() when it is destroyed.
  using guard = extend::lock_guard<recursive_mutex>;

  /// Not locked.
  recursive_mutex() noexcept : detail::lock_base("recursive_mutex") {}

  /// Waits until no other fiber holds it, and locks it. May be a part of a select().
  extend::lock_wait<recursive_mutex> lock(time_limit timeout = forever) noexcept {
    return {*this, timeout};
  }
  /// Locks it if no other fiber holds it; otherwise returns an empty guard. Aborts outside of a
  /// fiber.
  guard try_lock() { return guard(lock_for(extend::current()) ? this : nullptr); }
  /// What the guard does: undoes one lock(). Aborts if another fiber holds it, or none, and says
  /// which.
  void unlock() noexcept {
    check_holder();
    if (--depth_ == 0) release();
  }

  /// How often its holder has locked it; 0 if no fiber holds it.
  std::size_t depth() const noexcept { return depth_; }

 private:
  friend class extend::lock_wait<recursive_mutex>;
  bool lock_for(extend::fiber_base& who) noexcept {
    if (holder_ != &who && !take(who)) return false;
    ++depth_;
    return true;
  }
};

}  // namespace ringlet
