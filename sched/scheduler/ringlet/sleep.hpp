// sleep, sleep_until and yield: wait for a time, or let other fibers run.
//
//     for (int i = 0; i < 10'000; ++i) {
//       work_on(i);
//       if (i % 1'000 == 0) co_await yield();  // the other fibers have a turn
//     }
//     co_await sleep(10ms);
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/sleep_waits.hpp>
#include <ringlet/time_limit.hpp>

#include <chrono>
#include <concepts>

namespace ringlet {

/// Suspends the fiber for at least `time`. A duration of zero or less waits for the next turn:
/// every ready fiber runs, then the engine makes the calls that they began, then every due timer
/// ends. Can be part of a select().
///
/// Errors    None.
/// Cancellation  Loses nothing. Success wins: a sleep that is over is not interrupted.
/// Memory    None.
template <class Rep, class Period>
extend::sleep_wait sleep(std::chrono::duration<Rep, Period> time) noexcept {
  return extend::sleep_wait(time_limit(time));
}

/// Durations have units: sleep(1s). Without this overload, sleep(1) would call sleep(3), which
/// blocks the thread.
template <std::integral T>
extend::sleep_wait sleep(T) = delete;

/// Suspends the fiber until `deadline`, a time of now(); if it has passed, until the next turn. Can
/// be part of a select().
///
/// Errors    None.
/// Cancellation  Loses nothing.
inline extend::sleep_wait sleep_until(std::chrono::steady_clock::time_point deadline) noexcept {
  return extend::sleep_wait(time_limit(deadline));
}

/// Moves the fiber to the end of the run queue: everything that is ready now runs first. To let IO
/// and timers come first, too, wait for the next turn with sleep(0s).
///
/// Errors    None.
/// Cancellation  Loses nothing. A kill that arrives in between is thrown here.
inline extend::yield_wait yield() noexcept { return {}; }

}  // namespace ringlet
