// Runs the task of a test on one scheduler, and on two at once.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/descriptor_limit.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>
#include <utility>

namespace ringlet::test {

/// A case that hangs prints what it waits for, and ends the program.
inline task<> watchdog() {
  constexpr std::chrono::seconds patience(100);
  co_await sleep(patience);
  std::fprintf(stderr, "the test hangs:\n%s", dump().c_str());
  std::abort();
}

// Many connections at once need more descriptors than the usual soft limit of 1,024.
template <std::invocable F>
task<> with_watchdog(F& body) {
  raise_descriptor_limit();
  const auto watch = spawn(&watchdog);
  co_await body();
  watch.request_kill();
}

/// Runs the task that `body()` returns on a scheduler of this thread.
template <std::invocable F>
void on_one_scheduler(F body, const options& settings = {}) {
  run(with_watchdog(body), settings);
}

/// The same on two threads at once, with a scheduler each; rethrows what one of them threw.
template <std::invocable F>
void on_two_schedulers(F body, const options& settings = {}) {
  std::array<std::exception_ptr, 2> errors;
  const auto run_it = [&](std::exception_ptr& error) {
    try {
      run(with_watchdog(body), settings);
    } catch (...) {
      error = std::current_exception();
    }
  };
  std::thread other([&] { run_it(errors[1]); });
  run_it(errors[0]);
  other.join();
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

/// First on one scheduler, then on two: both must give the same results.
template <std::invocable F>
void on_schedulers(F body, const options& settings = {}) {
  on_one_scheduler(body, settings);
  on_two_schedulers(body, settings);
}

}  // namespace ringlet::test
