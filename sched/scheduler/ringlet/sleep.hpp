// sleep, sleep_until and yield: wait for a time, or let other fibers run.
#pragma once

#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>

#include <chrono>
#include <concepts>
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

namespace ringlet {

/// Suspends the fiber for at least `time`. A duration of zero or less waits for the next turn:
/// every ready fiber runs, then every due timer. Cancellation loses nothing.
template <class Rep, class Period>
extend::sleep_wait sleep(std::chrono::duration<Rep, Period> time) noexcept {
  return extend::sleep_wait(time_limit(time));
}

/// Durations have units: sleep(1s). Without this overload, sleep(1) would call sleep(3), which
/// blocks the thread.
template <std::integral T>
extend::sleep_wait sleep(T) = delete;

/// Suspends the fiber until `deadline`.
inline extend::sleep_wait sleep_until(std::chrono::steady_clock::time_point deadline) noexcept {
  return extend::sleep_wait(time_limit(deadline));
}

/// Moves the fiber to the end of the run queue: everything that is ready now runs first. A kill
/// that arrives in between is thrown here.
inline extend::yield_wait yield() noexcept { return {}; }

}  // namespace ringlet
