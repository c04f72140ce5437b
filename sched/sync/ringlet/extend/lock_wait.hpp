// lock_wait: what lock() of a mutex returns to co_await.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/lock_base.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/lock_guard.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>

namespace ringlet::extend {

template <class Lock>
class [[nodiscard]] lock_wait : public detail::lock_base::waiter {
 public:
  lock_wait(Lock& on, time_limit timeout) noexcept : detail::lock_base::waiter(on, timeout) {}

  // A lock that is free is taken here, which is half the work of a suspension.
  bool await_ready() noexcept {
    wait_base::await_ready();
    fiber_base* const here = current_scheduler().running();
    if (on().is_locked() || here == nullptr || !here->may_continue_at_once()) return false;
    fiber_ = here;
    return try_now();
  }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<lock_guard<Lock>> take() {
    if (has_failed()) return error();
    return lock_guard<Lock>(&on());
  }
  lock_guard<Lock> await_resume() {
    if (has_failed()) [[unlikely]]
      throw_error(error(), "lock");
    return lock_guard<Lock>(&on());
  }

  bool try_now() noexcept { return on().lock_for(*fiber_); }
  void watch() noexcept { watch_for_cycle(); }
  static const wait_type type;

 private:
  Lock& on() const noexcept { return static_cast<Lock&>(*on_); }
};

template <class Lock>
const wait_type lock_wait<Lock>::type = wait_base::make_type<lock_wait<Lock>>("lock");

}  // namespace ringlet::extend
