// event: a flag that fibers wait for, like gevent's Event.
//
//     event loaded;
//
//     task<> load() {
//       co_await sleep(1ms);
//       loaded.set();  // all that wait continue, and later ones do not wait
//     }
//     task<> use() { co_await loaded.wait(); }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/counted_waiters.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/wait.hpp>

#include <coroutine>
#include <string>

namespace ringlet {

/// Once set, all waits pass until it is reset. Waiters are woken in arrival order.
///
/// Errors    None; see Lifetime.
/// Cancellation  Loses nothing. Success wins: a wait that set() has ended returns true, and the
///           fiber is interrupted at the next wait.
/// Lifetime  Must outlive the fibers that wait for it; otherwise the destructor aborts. While an
///           exception unwinds the owner, it ends their waits with errc::closed instead, and
///           reports that.
/// Thread    That of the scheduler whose fibers wait for the event, or else of the one that uses it
///           first, as long as that scheduler runs. On other threads set(), and a wait that need
///           not suspend, abort. Other threads set an event through scheduler_handle::post().
/// Memory    None.
class event {
 public:
  /// Not set.
  event() noexcept = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event();

  /// Whether waits pass.
  bool is_set() const noexcept { return set_; }
  /// Ends all current waits, even if reset() follows immediately. The waiters run when their turn
  /// comes; the caller continues. Takes the same time for any number of them: 256 are woken at
  /// once, and then 256 each turn of the scheduler.
  void set() noexcept;
  /// Later waits suspend again.
  void reset() noexcept { set_ = false; }

  /// See wait().
  class [[nodiscard]] waiting;
  /// Waits until the event is set. Returns true, or false if the limit passed first. May be a part
  /// of a select().
  waiting wait(time_limit timeout = forever) noexcept;

 private:
  void check_thread() noexcept {
    owner_.check("an event was used on a thread that is not its scheduler's");
  }

  bool set_ = false;
  detail::affinity owner_;
  detail::counted_waiters waiters_;
};

class event::waiting : public detail::counted_wait {
 public:
  waiting(event& on, time_limit timeout) noexcept
      : detail::counted_wait(on.waiters_, timeout), on_(&on) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  bool await_resume() { return detail::value_or_throw(take(), "event"); }

  bool try_now() noexcept {
    if (!on_->set_) return false;
    on_->check_thread();
    return true;
  }
  void describe(std::string& out) const;
  static const extend::wait_type type;

 private:
  event* on_;
};

inline event::waiting event::wait(time_limit timeout) noexcept { return {*this, timeout}; }

}  // namespace ringlet
