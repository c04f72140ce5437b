// sleep, sleep_until and yield: wait for a time, or let other fibers run.
#pragma once

#include <ringlet/extend/sleep_waits.hpp>
#include <ringlet/time_limit.hpp>

#include <chrono>
#include <concepts>

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
