// What the tests of greenlets share: bodies, and the outcome of a switch in a word.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/error.hpp>
#include <ringlet/greenlet.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>

#include "sched/scripted_run.hpp"

namespace ringlet::test {
using namespace extend;

/// Runs the task that `main` returns on a scripted engine.
template <class F>
void in_fiber(F&& main) {
  scripted_engine engine;
  run_on(engine, main());
}

inline task<int> plus_one(int n) { co_return n + 1; }

// Sends back what it receives, forever.
inline task<int> echo(int n) {
  for (;;) n = co_await greenlet<int>::main().switch_to(n);
}

inline task<int> fail_with(std::string what, int) {
  throw std::runtime_error(what);
  co_return 0;
}

inline task<int> send_to_main(int n) { co_return co_await greenlet<int>::main().switch_to(n); }

// The outcome of awaiting the switch, in a word: a number, or the message of the exception.
template <class Wait>
task<std::string> told(Wait&& wait) {
  try {
    const int value = co_await std::forward<Wait>(wait);
    co_return std::to_string(value);
  } catch (const std::system_error& error) {
    co_return error.code() == errc::fiber_cancelled ? "fiber_cancelled" : "another error";
  } catch (const std::exception& error) {
    co_return error.what();
  } catch (const greenlet_exit&) {
    co_return "greenlet_exit";
  }
}

}  // namespace ringlet::test
