// now: the clock of sleeps and limits.
//
//     const auto begin = now();
//     co_await fetch();
//     const std::chrono::duration<double> seconds = now() - begin;
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

namespace ringlet {

/// Reads the clock of this thread's scheduler, with which sleep_until() and deadlines are compared.
/// Outside of run() it is std::chrono::steady_clock::now(). A program that calls now() instead of
/// reading the clock itself can run on an engine that simulates time.
///
/// Thread    Any.
std::chrono::steady_clock::time_point now() noexcept;

}  // namespace ringlet
