// auto_reset_event: each set() lets one fiber pass; one that no fiber waits for is stored.
//
//     std::string text, saved;
//     auto_reset_event changed;
//
//     task<> save_changes() {
//       for (;;) {
//         co_await changed.wait();  // several changes since the last time count as one
//         saved = text;
//       }
//     }
//     void add(std::string_view more) {
//       text += more;
//       changed.set();
//     }
//
// It is an event that resets itself when a wait passes: compare event, where set() lets all waits
// pass, and semaphore, which stores every permit.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/detail/waiting_count.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <string>

namespace ringlet {

/// An event that lets one wait pass for each set(), in the order in which the waits began. If no
/// fiber waits, it stays set until a wait passes; a second set() then adds nothing.
///
/// Errors    None; see Lifetime.
/// Cancellation  Loses nothing. A fiber that is killed while it waits leaves the line. Success
///           wins: a wait that was let pass returns true, and the fiber is interrupted at the next
///           wait. A part of a select() that another call won does not use up a set().
/// Lifetime  Must outlive the fibers that wait for it; otherwise the destructor aborts. While an
///           exception unwinds the owner, it ends their waits with errc::closed instead, and
///           reports that.
/// Thread    That of the scheduler whose fibers use it. On other threads set(), reset() and waits
///           abort. Other threads set it through scheduler_handle::post().
/// Memory    None.
class auto_reset_event {
 public:
  /// Not set.
  auto_reset_event() noexcept = default;
  auto_reset_event(const auto_reset_event&) = delete;
  auto_reset_event& operator=(const auto_reset_event&) = delete;
  ~auto_reset_event();

  /// Ends the wait of the fiber that has waited longest. If no fiber waits, the next wait returns
  /// without suspending. The caller continues.
  void set() noexcept;
  /// Whether a set() is stored.
  bool is_set() const noexcept { return set_; }
  /// Drops the stored set(), if there is one.
  void reset() noexcept;

  class set_wait;
  /// Waits for a set(), and uses it up. Returns true, or false if the limit passed first. May be a
  /// part of a select().
  set_wait wait(time_limit timeout = forever) noexcept;
  /// Uses up a stored set(). False if there is none. Needs no fiber.
  bool try_wait() noexcept;

  /// How many fibers wait.
  std::size_t waiting() const noexcept { return count_.now; }
  /// The most fibers that have waited at once.
  std::size_t waiting_peak() const noexcept { return count_.peak; }

 private:
  void check_thread() noexcept {
    owner_.check("an auto_reset_event was used on a thread that is not its scheduler's");
  }

  bool set_ = false;  // then no fiber waits
  detail::affinity owner_;
  detail::waiting_count count_;
  extend::wait_list waiters_;
};

/// See auto_reset_event::wait().
class [[nodiscard]] auto_reset_event::set_wait : public extend::list_wait {
 public:
  set_wait(auto_reset_event& on, time_limit timeout) noexcept
      : extend::list_wait(timeout), on_(&on) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<bool> take() {
    rethrow_interruption();
    if (reason_ == extend::cancel_reason::closed) return cancellation_error();
    return reason_ == extend::cancel_reason::none;
  }
  bool await_resume() { return detail::value_or_throw(take(), "auto_reset_event"); }

  bool try_now() noexcept { return on_->try_wait(); }
  void watch() noexcept {
    on_->waiters_.push_back(*this);
    on_->count_.add();
  }
  void unwatch() noexcept {
    if (!linked()) return;
    unlink();
    on_->count_.remove();
  }
  void on_cancel(extend::cancel_reason reason) noexcept {
    reason_ = reason;
    unwatch();
    complete();
  }
  void describe(std::string& out) const;
  static const extend::wait_type type;

 private:
  auto_reset_event* on_;
};

inline auto_reset_event::set_wait auto_reset_event::wait(time_limit timeout) noexcept {
  return {*this, timeout};
}

}  // namespace ringlet
