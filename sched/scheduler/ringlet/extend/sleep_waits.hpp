// The waits that sleep() and yield() return.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>

namespace ringlet::extend {

/// See sleep().
class [[nodiscard]] sleep_wait : public two_phase_wait {
 public:
  explicit sleep_wait(time_limit timeout) noexcept : two_phase_wait(timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take() {
    rethrow_interruption();
    return {};
  }
  void await_resume() { rethrow_interruption(); }

  // Only its limit ends a sleep.
  bool try_now() noexcept { return false; }
  void watch() noexcept {}
  void unwatch() noexcept {}
  void on_cancel(cancel_reason reason) noexcept {
    // Reaching the deadline is the success, and success wins.
    if (reason == cancel_reason::interrupted) reason_ = reason;
    conclude();
  }
  static const wait_type type;

 private:
  bool begin(frame_record& at) noexcept;
};

/// See yield().
class [[nodiscard]] yield_wait : public wait_base {
 public:
  yield_wait() noexcept : wait_base(forever) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take() {
    await_resume();
    return {};
  }
  void await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  void throw_unless_blocked();
};

}  // namespace ringlet::extend
