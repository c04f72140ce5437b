// run and run_main: where a program enters the world of fibers.
//
// fork(): a child of a process that runs schedulers, or has run some, may call exec(), _exit() and
// exit(), and run() for a scheduler of its own, also where the parent called fork() inside of
// run(). It may close or destroy the parent's objects, which closes the child's copy of a
// descriptor and tells the peer nothing. Any other use of the parent's scheduler, streams, fibers,
// events, queues and remote handles aborts with a sentence; so a fiber that called fork() can
// neither wait nor return in the child. SIGINT and SIGTERM do there what they did before
// run_main(). Workers of blocking() are made anew. The parent notices nothing. As in any process
// with threads, locks that another thread held at the fork stay locked in the child: fork before
// the first run(), or call exec() at once, where you can. vfork(), posix_spawn() and clone() go
// unseen: their children must call exec().
#pragma once

#include <ringlet/fiber.hpp>
#include <ringlet/options.hpp>
#include <ringlet/task.hpp>

#include <memory>
#include <source_location>
#include <utility>

namespace ringlet {

namespace detail {

// Runs `main` on that engine; `prepare` sees the scheduler first.
template <class T>
T run_on(engine& carrier, task<T> main, options settings, const std::source_location& where,
         void (*prepare)(scheduler&) = nullptr) {
  scheduler home(carrier, std::move(settings));
  if (prepare != nullptr) prepare(home);
  fiber<T> root(*new fiber_state<T>(home, home.root_scope(), std::move(main), where));
  home.run(root.state());
  if (root.result() != outcome::value) throw_failure(root.state());
  if constexpr (std::is_reference_v<T>) {
    return root.state().value().get();
  } else {
    return root.state().value().move_out();
  }
}

}  // namespace detail

/// Runs `main` as the first fiber of a new scheduler on this thread; returns what it returns, or
/// rethrows what it throws, when all fibers have ended.
///
/// When the main task has ended, all other fibers are cancelled, at every wait. Those that are left
/// after options.grace are listed on standard error, and after as much time again the program
/// aborts: run() never returns with a fiber alive. Touches no signals. Several threads may run one
/// each, and again afterwards; inside a fiber it aborts.
/// Errors  std::system_error when the engine cannot be made: its sentence says who refused it and
///         what would allow it. errc::exited when the main task was killed. deadlock.
/// Kernel  Linux 6.1.
template <class T>
T run(task<T> main, options settings = {},
      std::source_location where = std::source_location::current()) {
  const std::unique_ptr<engine> carrier = make_engine(settings.engine, settings.sizes);
  return detail::run_on(*carrier, std::move(main), std::move(settings), where);
}

/// For `int main()`: runs the task and returns the exit code of the program.
///
/// SIGINT and SIGTERM kill the main task; when that ends it, the code is 130 or 143. A second
/// signal ends the process at once with that code. An uncaught error becomes one sentence on
/// standard error and code 1. Fibers that refuse to end (see run()) are listed, and the code is 70.
/// The signal dispositions are put back before it returns. One at a time in a process.
int run_main(task<> main, options settings = {},
             std::source_location where = std::source_location::current());
/// The same; what the task returns is the code.
int run_main(task<int> main, options settings = {},
             std::source_location where = std::source_location::current());

}  // namespace ringlet
