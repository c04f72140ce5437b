// shared_mutex: a lock that one fiber holds alone, or several share.
//
//     shared_mutex routes_lock;
//     std::vector<address> routes;
//
//     task<> send_to_all(std::string text) {
//       const shared_mutex::shared_guard lock = co_await routes_lock.lock_shared();
//       for (const address& to : routes) {  // other fibers read the routes, too
//         tcp_stream peer = co_await tcp_stream::connect(to);
//         co_await peer.write_all(text);
//       }
//     }
//     task<> replace(std::vector<address> fresh) {
//       const shared_mutex::guard lock = co_await routes_lock.lock();
//       routes = std::move(fresh);  // no fiber is in the middle of them
//     }
//
// Between two waits a fiber has the thread for itself, so only what spans a wait needs a lock.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/admission_slices.hpp>
#include <ringlet/detail/lock_base.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/lock_guard.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/shared_lock_guard.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <string>
#include <system_error>

namespace ringlet {

/// A lock that one fiber, the writer, holds alone, or any number of readers share. Strictly first
/// come, first served: a reader that comes while a writer waits stands behind that writer, so
/// neither readers nor writers starve. Readers that stand behind each other are let in together:
/// 256 at once, and then 256 each turn of the scheduler.
///
/// A fiber that shares the lock must not lock it again, in either way, before it has given it back:
/// behind a writer that waits, it would wait for itself.
///
/// Errors    timed_out. `deadlock`, if the wait closes a cycle of locks in which no wait has a
///           limit, and each lock is held by a writer; see mutex. Which fibers share it is not
///           known, so a cycle through them is found only when nothing else can run.
/// Cancellation  Loses nothing: a fiber that is killed while it waits leaves the line, and those
///           behind it are let in if they can be. Success wins: a fiber that has been given the
///           lock gets its guard, and is interrupted at the next wait.
/// Lifetime  Must outlive its guards and the fibers that wait; otherwise the destructor aborts. A
///           guard must not outlive its fiber; a shared_guard may be moved to another fiber.
/// Thread    That of the scheduler whose fibers use it. On other threads locking and unlocking
///           abort.
/// Memory    None.
class shared_mutex : public detail::lock_base, private detail::admission_slices<shared_mutex> {
 public:
  /// What lock() returns: unlocks when it is destroyed.
  using guard = extend::lock_guard<shared_mutex>;
  /// What lock_shared() returns: gives the share back when it is destroyed.
  using shared_guard = extend::shared_lock_guard<shared_mutex>;
  class locking_wait;
  class exclusive_wait;
  class shared_wait;

  /// Not locked.
  shared_mutex() noexcept : detail::lock_base("shared_mutex") {}
  ~shared_mutex();

  /// Waits until no fiber holds it, and locks it for the caller alone. Returns a guard, which
  /// unlocks it. May be a part of a select().
  exclusive_wait lock(time_limit timeout = forever) noexcept;
  /// Locks it if no fiber holds it; otherwise returns an empty guard. Aborts outside of a fiber.
  guard try_lock() { return guard(lock_for(extend::current()) ? this : nullptr); }
  /// What the guard does. Aborts if the caller does not hold it alone, and says which fiber does.
  void unlock() noexcept {
    if (holder_ == nullptr || holder_ != extend::current_scheduler().running()) [[unlikely]]
      refuse();
    take_away();
    if (waiting_ != 0) admit();
  }

  /// Waits until no writer holds it or stands before the caller, and shares it. Returns a guard,
  /// which gives the share back. May be a part of a select().
  shared_wait lock_shared(time_limit timeout = forever) noexcept;
  /// Shares it if no writer holds it and no fiber waits; otherwise returns an empty guard. Needs no
  /// fiber.
  shared_guard try_lock_shared() { return shared_guard(share() ? this : nullptr); }
  /// What the shared_guard does. Aborts if no fiber shares it.
  void unlock_shared() noexcept {
    check_thread();
    if (readers_ == 0) [[unlikely]]
      refuse_shared();
    if (--readers_ == 0 && waiting_ != 0) admit();
  }

  /// How many shares are held. is_locked() and is_held() tell of the writer.
  std::size_t readers() const noexcept { return readers_; }

 private:
  friend class detail::admission_slices<shared_mutex>;
  // Between two slices of readers no fiber may hold it, but those that wait come first.
  bool lock_for(extend::fiber_base& who) noexcept {
    return (readers_ | waiting_) == 0 && take(who);
  }
  bool share() noexcept {
    check_thread();
    if (holder_ != nullptr || waiting_ != 0) return false;
    ++readers_;
    return true;
  }
  /// Lets those at the front in, if they can be: one writer, or a slice of readers.
  void admit() noexcept;
  /// Lets the first that waits in, if it can be.
  bool admit_first() noexcept;
  [[noreturn, gnu::cold]] void refuse() const noexcept;
  [[noreturn, gnu::cold]] void refuse_shared() const noexcept;

  std::size_t readers_ = 0;  // and those that were let in and will run
};

/// A fiber that waits to lock it, alone or not.
class shared_mutex::locking_wait : public detail::lock_base::waiter {
 public:
  void pass_on() noexcept { on().admit(); }  // it may have stood before readers
  void on_cancel(extend::cancel_reason reason) noexcept {
    detail::lock_base::waiter::on_cancel(reason);
    pass_on();
  }
  void describe(std::string& out) const;

 protected:
  friend class shared_mutex;
  locking_wait(shared_mutex& on, bool is_reader, time_limit timeout) noexcept
      : detail::lock_base::waiter(on, timeout), is_reader_(is_reader) {}
  shared_mutex& on() const noexcept { return static_cast<shared_mutex&>(*on_); }

  bool is_reader_;
};

/// See shared_mutex::lock().
class [[nodiscard]] shared_mutex::exclusive_wait : public locking_wait {
 public:
  exclusive_wait(shared_mutex& on, time_limit timeout) noexcept
      : locking_wait(on, false, timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<guard> take() {
    if (has_failed()) return error();
    return guard(&on());
  }
  guard await_resume() {
    if (has_failed()) [[unlikely]]
      throw_error(error(), type.name);
    return guard(&on());
  }

  bool try_now() noexcept { return on().lock_for(*fiber_); }
  void watch() noexcept { watch_for_cycle(); }
  static const extend::wait_type type;
};

/// See shared_mutex::lock_shared().
class [[nodiscard]] shared_mutex::shared_wait : public locking_wait {
 public:
  shared_wait(shared_mutex& on, time_limit timeout) noexcept : locking_wait(on, true, timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<shared_guard> take() {
    if (has_failed()) return error();
    return shared_guard(&on());
  }
  shared_guard await_resume() {
    if (has_failed()) [[unlikely]]
      throw_error(error(), type.name);
    return shared_guard(&on());
  }

  bool try_now() noexcept { return on().share(); }
  void watch() noexcept { watch_for_cycle(); }
  static const extend::wait_type type;
};

inline shared_mutex::exclusive_wait shared_mutex::lock(time_limit timeout) noexcept {
  return {*this, timeout};
}

inline shared_mutex::shared_wait shared_mutex::lock_shared(time_limit timeout) noexcept {
  return {*this, timeout};
}

}  // namespace ringlet
