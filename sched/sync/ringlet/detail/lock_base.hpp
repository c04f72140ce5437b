// lock_base: what mutex and recursive_mutex have in common: a holder, and fibers that wait.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/wait.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <system_error>

namespace ringlet {

class condition;

}  // namespace ringlet

namespace ringlet::extend {

class condition_wait;

}  // namespace ringlet::extend

namespace ringlet::detail {

class lock_base {
 public:
  class waiter;

  lock_base(const lock_base&) = delete;
  lock_base& operator=(const lock_base&) = delete;

  bool is_locked() const noexcept { return holder_ != nullptr; }
  /// Whether the calling fiber holds it.
  bool is_held() const noexcept {
    return holder_ != nullptr && holder_ == extend::current_scheduler().running();
  }
  /// How many fibers wait to lock it, and the most that ever did.
  std::size_t waiting() const noexcept { return waiting_; }
  std::size_t waiting_peak() const noexcept { return waiting_peak_; }

 protected:
  friend class ringlet::condition;
  friend class extend::condition_wait;

  explicit lock_base(const char* name) noexcept : name_(name) {}
  ~lock_base();

  /// Locks it for `who` if no fiber holds it.
  bool take(extend::fiber_base& who) noexcept {
    if (holder_ != nullptr) return false;
    check_thread();
    give_to(who);
    return true;
  }
  /// Aborts if the calling fiber does not hold it.
  void check_holder() const noexcept {
    if (holder_ == nullptr || holder_ != extend::current_scheduler().running()) [[unlikely]]
      refuse_unlock();
  }
  /// Makes it the lock of `who`, and of no fiber. Precondition of the second: a fiber holds it.
  void give_to(extend::fiber_base& who) noexcept {
    who.count_lock();
    holder_ = &who;
  }
  void take_away() noexcept {
    holder_->discount_lock();
    holder_ = nullptr;
  }
  /// What its holder calls.
  void release() noexcept {
    if (waiters_.empty()) {
      take_away();
    } else {
      hand_over();
    }
  }
  /// Gives it to the first fiber that waits, or to none.
  void hand_over() noexcept;

  void check_thread() noexcept {
    owner_.check("a lock was used on a thread that is not its scheduler's");
  }
  /// `takes_lock` is asked when the lock is handed to it; false if it waits for something else
  /// again. Null always takes the lock.
  void add(waiter& last, bool (*takes_lock)(waiter&) noexcept = nullptr) noexcept;
  void remove(waiter& gone) noexcept;
  /// Aborts, and says who holds it.
  [[noreturn, gnu::cold]] void refuse_unlock() const noexcept;

  const char* name_;                      // "mutex"
  extend::fiber_base* holder_ = nullptr;  // which does not end before it has unlocked
  std::uint32_t depth_ = 0;  // how often the holder has locked it; a mutex does not count
  detail::affinity owner_;
  extend::wait_list waiters_;
  std::size_t waiting_ = 0;
  std::size_t waiting_peak_ = 0;
};

/// A fiber that waits to lock it. The lock is handed over in the order in which they came.
class lock_base::waiter : public extend::list_wait {
 public:
  void unwatch() noexcept {
    if (linked()) on_->remove(*this);
  }
  void on_cancel(extend::cancel_reason reason) noexcept {
    reason_ = reason;
    unwatch();
    complete();
  }
  void describe(std::string& out) const;
  const extend::fiber_base* holder() const noexcept { return on_->holder_; }

 protected:
  friend class lock_base;
  friend class ringlet::condition;
  waiter(lock_base& on, time_limit timeout) noexcept : extend::list_wait(timeout), on_(&on) {}
  ~waiter() {}  // error() has destroyed deadlock_

  /// Waits. A wait that closes a cycle of locks without time limits ends with `deadlock` instead.
  void watch_for_cycle() noexcept;
  /// Called when the wait of a suspended fiber has joined the line of the lock, which it cannot
  /// leave without it. If that closes such a cycle, the lock() of another fiber of it ends with
  /// `deadlock`.
  void look_for_cycle() const noexcept;
  bool has_failed() const noexcept { return reason_ != extend::cancel_reason::none; }
  /// Ends it because of the deadlock `found`.
  void fail(std::exception_ptr found) noexcept;
  /// Why it has failed. Throws if that is an interruption or a deadlock.
  std::error_code error();

  lock_base* on_;

 private:
  // Set by add(), so that a lock that is free does not pay for it.
  bool (*takes_lock_)(waiter&) noexcept;
  // Exists from when a deadlock has ended the wait, which nothing else does with `closed`, until
  // error() throws it. So a lock that is free does not pay for it.
  union {
    std::exception_ptr deadlock_;
  };
};

}  // namespace ringlet::detail
