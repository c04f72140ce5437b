// sleep, sleep_until and yield: letting time pass, or only other fibers run.
#pragma once

#include <ringlet/result.hpp>
#include <ringlet/wait.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>

namespace ringlet {

/// See sleep().
class [[nodiscard]] sleep_wait : public two_phase_wait {
 public:
  explicit sleep_wait(until limit) noexcept : two_phase_wait(limit) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take() {
    rethrow_interruption();
    return {};
  }
  void await_resume() { rethrow_interruption(); }

  // Nothing but its limit ends it.
  bool try_now() noexcept { return false; }
  void watch() noexcept {}
  void unwatch() noexcept {}
  void on_cancel(cancel_reason reason) noexcept {
    // When its time has come that is the success, and success wins.
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

/// Suspends the fiber for at least that long. Zero and less wait for the next turn: all that is
/// ready runs, then timers that are due. Cancellation loses nothing.
template <class Rep, class Period>
sleep_wait sleep(std::chrono::duration<Rep, Period> time) noexcept {
  return sleep_wait(until(time));
}

/// Durations have units: sleep(1s). Without this, sleep(1) would be sleep(3), which stops the
/// thread.
template <std::integral T>
sleep_wait sleep(T) = delete;

/// Suspends the fiber until that point in time has come.
inline sleep_wait sleep_until(std::chrono::steady_clock::time_point deadline) noexcept {
  return sleep_wait(until(deadline));
}

/// Goes to the end of the run queue: all that is ready now runs first. A kill that arrives before
/// then is thrown here.
inline yield_wait yield() noexcept { return {}; }

}  // namespace ringlet
