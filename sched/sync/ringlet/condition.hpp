// condition: waits for something to become true that a mutex protects.
//
//     mutex lock;
//     condition changed(lock);
//     std::vector<std::string> jobs;
//
//     task<std::string> take() {
//       const auto held = co_await lock.lock();
//       const auto has_jobs = [] { return !jobs.empty(); };
//       co_await changed.wait(has_jobs);
//       std::string last = std::move(jobs.back());
//       jobs.pop_back();
//       co_return last;
//     }
//     task<> submit(std::string next) {
//       const auto held = co_await lock.lock();
//       jobs.push_back(std::move(next));
//       changed.notify();
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/lock_base.hpp>
#include <ringlet/extend/condition_wait.hpp>
#include <ringlet/extend/wake_lists.hpp>
#include <ringlet/mutex.hpp>
#include <ringlet/recursive_mutex.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace ringlet {

/// Fibers that hold a mutex wait in it until another fiber has changed what the mutex protects, and
/// says so. The wait unlocks the mutex while it lasts. However it ends (notified, out of time,
/// killed), the fiber holds the mutex again, as often as before.
///
/// Select    Cannot be a part of one: it gives up the mutex before anything has happened.
/// Errors    None of its own. A fiber that waits without holding the mutex aborts. If the way back
///           to the mutex closes a cycle of locks, the lock() of another fiber of the cycle throws
///           `deadlock`, because the wait cannot end without the mutex: see mutex.
/// Cancellation  A killed fiber first gets the mutex back, which may take any time, and then throws
///           what it was killed with. Had it been notified, the next fiber that waits is notified
///           instead, so no notification is lost.
/// Lifetime  The mutex must outlive the condition, and the condition its waits; otherwise the
///           destructor aborts.
/// Thread    That of the mutex.
/// Memory    None.
class condition : private extend::sliced_list {
 public:
  /// Of what `of` protects. Several conditions may have the same mutex.
  explicit condition(mutex& of) noexcept : sliced_list(&condition::resume_slice), lock_(&of) {}
  /// The same. A wait undoes all locks of its fiber.
  explicit condition(recursive_mutex& of) noexcept
      : sliced_list(&condition::resume_slice), lock_(&of) {}
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;
  ~condition();

  /// Waits until `is_true()`, which is called with the mutex held: at once, and after each
  /// notification. Returns true; when the limit passed first, what `is_true()` then returns.
  ///
  /// After a notification `is_true` is called by the fiber that hands the mutex over, so that a
  /// fiber runs only when it has something to do: it must not unlock the mutex or ask which fiber
  /// runs. What it throws is thrown by the wait, with the mutex held.
  /// Lifetime  Borrows `is_true`; await the call in the same expression. With g++ 12 name a
  ///           capturing lambda first: the compiler destroys such temporaries twice inside a
  ///           co_await expression (GCC bug 100611).
  template <std::predicate F>
  extend::predicate_wait<F> wait(F&& is_true, time_limit timeout = forever) noexcept {
    detail::check_temporary<F>();
    return {*this, is_true, timeout};
  }
  /// Waits for a notification: true; false when the limit passed first. Use this form where no
  /// predicate says what happened; a notification that comes before the wait is not seen.
  extend::condition_wait wait(time_limit timeout = forever) noexcept { return {*this, timeout}; }

  /// Wakes the `count` fibers that have waited longest. They run when they have got the mutex, in
  /// their order. The caller need not hold it. Fibers that begin to wait later are not woken.
  void notify(std::size_t count = 1) noexcept;
  /// The same for all that wait now. Takes the same time for any number of them: 256 ask for the
  /// mutex at once, and each turn of the scheduler 256 more when those have had it. A fiber that
  /// asks for the mutex in between comes before the rest.
  void notify_all() noexcept;

  /// How many fibers wait for a notification.
  std::size_t waiting() const noexcept { return waiting_; }
  /// The most fibers that have waited at once.
  std::size_t waiting_peak() const noexcept { return waiting_peak_; }

 private:
  friend class extend::condition_wait;

  static std::size_t resume_slice(extend::sliced_list& of, std::size_t most) noexcept;
  /// Moves at most `most` from rest_ to the line of the lock, and returns how many.
  std::size_t move_slice(std::size_t most) noexcept;
  /// Called when the last of a slice has been given the lock.
  void end_slice() noexcept;

  detail::lock_base* lock_;
  extend::wait_list waiters_;
  extend::wait_list rest_;        // were notified, and will be moved to the line of the lock
  bool moves_in_slices_ = false;  // then a wait in the line will call end_slice()
  std::size_t waiting_ = 0;
  std::size_t waiting_peak_ = 0;
  std::size_t returning_ = 0;  // waits that are over as soon as they have the mutex
  std::uint32_t rounds_ = 0;   // of notify_all()
};

}  // namespace ringlet
