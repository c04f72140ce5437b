// mutex: a lock that one fiber at a time holds.
//
//     mutex books;
//     int here = 100, there = 0;
//
//     task<> move_money(int amount) {
//       const mutex::guard lock = co_await books.lock();
//       here -= amount;
//       co_await sleep(1ms);  // no other fiber sees the books half done
//       there += amount;
//     }
//
// Between two waits a fiber has the thread for itself, so only what spans a wait needs a mutex.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/lock_base.hpp>
#include <ringlet/extend/lock_guard.hpp>
#include <ringlet/extend/lock_wait.hpp>
#include <ringlet/time_limit.hpp>

namespace ringlet {

/// A lock that one fiber at a time holds. Fibers get it in the order in which they asked: a mutex
/// that is unlocked goes to the first that waits, so a fiber that unlocks and locks again does not
/// overtake.
///
/// Errors    timed_out. `deadlock`, if the wait closes a cycle of locks in which no wait has a
///           limit; what() lists the fibers of the cycle, what each waits for, and where. A fiber
///           that locks a mutex twice closes a cycle of one: see recursive_mutex. A fiber that
///           returns from a condition may close the cycle, too; then a fiber that waits in lock()
///           gets the error.
/// Cancellation  Loses nothing: a fiber that is killed while it waits leaves the line. Success
///           wins: a fiber that has been given the mutex gets its guard, and is interrupted at the
///           next wait.
/// Lifetime  Must outlive its guards and the fibers that wait; otherwise the destructor aborts. A
///           guard must not outlive its fiber; otherwise the end of the fiber aborts.
/// Thread    That of the scheduler whose fibers use it. On other threads locking and unlocking
///           abort.
/// Memory    None.
class mutex : public detail::lock_base {
 public:
  /// What lock() returns: unlocks the mutex when it is destroyed.
  using guard = extend::lock_guard<mutex>;

  /// Not locked.
  mutex() noexcept : detail::lock_base("mutex") {}

  /// Waits until no fiber holds the mutex, and locks it. Returns a guard, which unlocks it: keep it
  /// in a variable. May be a part of a select().
  extend::lock_wait<mutex> lock(time_limit timeout = forever) noexcept { return {*this, timeout}; }
  /// Locks it if no fiber holds it; otherwise returns an empty guard. Aborts outside of a fiber.
  guard try_lock() { return guard(lock_for(extend::current()) ? this : nullptr); }
  /// What the guard does. Aborts if another fiber holds the mutex, or none, and says which.
  void unlock() noexcept {
    check_holder();
    release();
  }

 private:
  friend class extend::lock_wait<mutex>;
  bool lock_for(extend::fiber_base& who) noexcept { return take(who); }
};

}  // namespace ringlet
