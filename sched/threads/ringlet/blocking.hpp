// blocking: runs a call that has no asynchronous form on another thread.
//
//     task<bool> exists(std::string path) {
//       const auto look = [&] { return ::access(path.c_str(), F_OK) == 0; };  // waits for the disk
//       co_return co_await blocking(look);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/blocking_wait.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/fiber.hpp>

#include <type_traits>
#include <utility>

namespace ringlet {

/// Calls `f()` on a worker thread, and returns its value or rethrows its exception. The other
/// fibers of this thread keep running. At most 16 calls run at once in a process; further calls
/// wait in line. `f` must not use this thread's scheduler, and must not return a task or another
/// awaitable.
///
/// Signals   Workers block all signals except SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT and
///           SIGSYS, so a crash in `f` reaches the program's handler.
/// Exit      run() returns when the calls of its fibers have ended. exit(), and a return from
///           main(), do not wait for calls of other threads: their `f` then runs while static
///           objects are destroyed, and is cut off when the process ends.
/// Fork      The workers stay with the parent. See run.hpp.
/// Errors    The exception of `f`; timed_out; std::system_error if there is no worker thread and
///           none can be started.
/// Cancellation  A call that has not begun is not made. A running call cannot be stopped: the wait
///           ends when the call does, and success wins. The same holds for the limit.
/// Lifetime  What `f` refers to must stay until the co_await returns, also after a kill. With g++
///           12, first name a capturing lambda and pass it as an lvalue: the compiler destroys such
///           temporaries twice inside a co_await expression (GCC bug 100611).
/// Thread    `f` runs on a worker thread. What it shares with other fibers or threads needs a
///           std::mutex or the like.
/// Memory    A thread for each call that runs, at most 16, which stays for later calls.
template <class F>
extend::blocking_wait<F> blocking(F&& f, time_limit timeout = forever) noexcept {
  static_assert(!detail::is_unawaited<std::invoke_result_t<F&>>,
                "blocking() was given a function that makes a task or a wait, which would never "
                "run: await that in this fiber, or call run() in the function");
  detail::check_temporary<F>();
  return extend::blocking_wait<F>(std::forward<F>(f), timeout);
}

}  // namespace ringlet
