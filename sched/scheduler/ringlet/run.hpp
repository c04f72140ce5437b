// run and run_main: run a program's first fiber, and all fibers that it starts.
//
// run() makes a scheduler on this thread, runs a task as its first fiber, and returns the value of
// the task when all fibers have ended. run_main() does this for main(): it also handles SIGINT and
// SIGTERM, and returns the exit code of the program.
//
//     task<int> answer() {
//       co_await sleep(10ms);
//       co_return 42;
//     }
//
//     int main() { return run_main(answer()); }
//
// fork(): a child of a process that runs or has run schedulers may call exec(), _exit() and exit(),
// and run() for a scheduler of its own, even if the parent called fork() inside run(). The child
// may close or destroy the parent's objects: this closes only the child's copy of a descriptor, and
// the peer does not notice. Any other use of the parent's scheduler, streams, fibers, events,
// queues and scheduler_handles aborts with a message. So a fiber that called fork() can neither
// wait nor return in the child. There SIGINT and SIGTERM do what they did before run_main(), and
// blocking() starts new workers. The parent is not affected. As in any process with threads, locks
// that another thread held at the fork stay locked in the child: where possible, fork before the
// first run(), or call exec() immediately. ringlet does not detect vfork(), posix_spawn() and
// clone(): their children must call exec().
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/awaited_call.hpp>
#include <ringlet/detail/run_on.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/options.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <memory>
#include <source_location>
#include <utility>

namespace ringlet::detail {

template <class X>
concept no_task = !is_task<X>;
template <class X>
concept no_main_task = !std::convertible_to<X, task<>> && !std::convertible_to<X, task<int>>;

}  // namespace ringlet::detail

namespace ringlet {

/// Runs `main` as the first fiber of a new scheduler on this thread. When all fibers have ended,
/// returns its value or rethrows its exception.
///
/// When the main task has ended, all other fibers are cancelled, at every wait. After
/// options.shutdown_timeout the fibers that are left are listed on standard error; after twice
/// options.shutdown_timeout the program aborts. run() never returns while a fiber is alive. It does
/// not touch signals. A thread may call it repeatedly. Calling it inside a fiber aborts.
///
/// Errors    Those of the main task. std::invalid_argument if an option is out of range, or if the
///           environment variable RINGLET_ENGINE is not an engine. std::system_error if the engine
///           cannot be made: the message says what refused it and what would allow it.
///           errc::fiber_cancelled if the main task was killed. deadlock.
/// Lifetime  The main task is the starter of all other fibers. A kill or a deadlock cancels them
///           first, and resumes the main task when they have ended (or half of
///           options.shutdown_timeout has passed), so its locals outlive them. A main task that
///           returns, or throws an exception of its own, destroys its locals first: declare what
///           fibers share outside of it, let with_group() wait for the fibers, or end them before.
/// Thread    Any. Several threads may each call run().
/// Kernel    Linux 6.1 for io_uring; 4.5 for epoll.
template <class T>
T run(task<T> main, options settings = {},
      std::source_location where = std::source_location::current()) {
  const std::unique_ptr<extend::engine> engine =
      extend::make_engine(settings.engine, settings.sizes);
  return detail::run_on(*engine, std::move(main), std::move(settings), where);
}

// For calls that do not compile. The deduced return type forces the static_assert that says why.
template <detail::no_task X>
auto run(X&&, const options& = {}) {
  detail::explain_no_task<X>();
}

/// For `int main()`: runs the task and returns the program's exit code.
///
/// SIGINT and SIGTERM, on whichever thread of the process they arrive, kill the main task, which
/// ends all other fibers first (see Lifetime above).
/// If `cancelled` leaves the main task, the code is 130 or 143. A program that calls
/// shutdown_requested() ends by itself instead, with its own code. A second signal ends the process
/// immediately. An uncaught error prints one line to standard error; the code is then 1.
///
/// Times count from the signal, or from the end of the main task if that comes first. At half of
/// options.shutdown_timeout the main task is resumed although fibers are alive. At
/// options.shutdown_timeout the fibers that are left are listed, and shields end. At twice
/// options.shutdown_timeout the program ends with code 70. After shutdown_requested(), all of this
/// happens options.shutdown_timeout later. run_main() restores the signal dispositions before it
/// returns.
///
/// Errors    None: it does not throw. What run() would throw is printed, too, and the code is 1.
/// Lifetime  As run().
/// Thread    Any, but one run_main() at a time in a process; a second one aborts.
/// Kernel    As run().
int run_main(task<> main, options settings = {},
             std::source_location where = std::source_location::current());
/// The same; the task's value is the exit code.
int run_main(task<int> main, options settings = {},
             std::source_location where = std::source_location::current());

// For calls that do not compile.
template <detail::no_main_task X>
auto run_main(X&&, const options& = {}) {
  static_assert(!detail::is_task<X>,
                "run_main() takes a task<> or a task<int>, whose value is the exit code");
  if constexpr (!detail::is_task<X>) detail::explain_no_task<X>();
  return 1;
}

}  // namespace ringlet
