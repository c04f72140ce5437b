// event: a flag that fibers wait for, as gevent's Event.
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/fiber_base.hpp>
#include <ringlet/result.hpp>
#include <ringlet/wait.hpp>

#include <coroutine>
#include <string>

namespace ringlet {

/// Set once, it lets everybody through until it is reset. Who waits is woken first come, first
/// served. Allocates nothing.
/// Thread: that of the scheduler whose fibers wait for it, or else which uses it first, as long as
/// that one runs: set(), and a wait that comes through at once, abort elsewhere. Other threads have
/// it set by remote::post().
/// Lifetime: longer than the fibers that wait for it: destroyed before, it aborts. While an
/// exception unwinds its owner it ends their waits with errc::closed instead, and reports that.
class event {
 public:
  event() noexcept = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event();

  bool is_set() const noexcept { return set_; }
  /// All who wait now come through, even when reset() follows at once. They run when their turn
  /// comes; the caller continues.
  void set() noexcept;
  /// From now on fibers wait again.
  void reset() noexcept { set_ = false; }

  /// See wait().
  class [[nodiscard]] waiting;
  /// Waits until it is set: true; false when the limit passed first. Cancellation loses nothing.
  waiting wait(until limit = forever) noexcept;

 private:
  void check_thread() noexcept {
    owner_.check("an event was used on a thread that is not its scheduler's");
  }

  bool set_ = false;
  detail::affinity owner_;
  wait_list waiters_;
};

class event::waiting : public list_wait {
 public:
  waiting(event& on, until limit) noexcept : list_wait(limit), on_(&on) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<bool> take() {
    rethrow_interruption();
    if (reason_ == cancel_reason::closed) return cancellation_error();
    return reason_ == cancel_reason::none;
  }
  bool await_resume() { return detail::value_or_throw(take(), "event"); }

  bool try_now() noexcept {
    if (!on_->set_) return false;
    on_->check_thread();
    return true;
  }
  void watch() noexcept { on_->waiters_.push_back(*this); }
  void describe(std::string& out) const;
  static const wait_type type;

 private:
  event* on_;
};

inline event::waiting event::wait(until limit) noexcept { return {*this, limit}; }

}  // namespace ringlet
