// now: the time that sleeps and limits are measured by.
#pragma once

#include <chrono>

namespace ringlet {

/// The time on the clock of this thread's scheduler, read at once: what sleep_until() and deadlines
/// are compared with. Outside of run() it is std::chrono::steady_clock::now(). A program that asks
/// here, and not the clock itself, can be run on an engine that simulates time.
///
///     const auto begin = now();
///     co_await fetch();
///     std::chrono::duration<double> passed = now() - begin;
///
/// Thread: any.
std::chrono::steady_clock::time_point now() noexcept;

}  // namespace ringlet
