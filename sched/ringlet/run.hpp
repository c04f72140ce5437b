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

/// Throws the deadlock that ended the main task; reports one that the main task outlived.
void throw_deadlock_of(scheduler& home, fiber_base& main);

// Runs `main` on that engine; `prepare` sees the scheduler first.
template <class T>
T run_on(engine& carrier, task<T> main, options settings, const std::source_location& where,
         void (*prepare)(scheduler&) = nullptr) {
  scheduler home(carrier, std::move(settings));
  if (prepare != nullptr) prepare(home);
  fiber<T> root(*new fiber_state<T>(home, home.main_scope(), std::move(main), where));
  home.run(root.state());
  throw_deadlock_of(home, root.state());
  if (root.result() != outcome::value) throw_failure(root.state(), "the main task was killed");
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
///
/// Lifetime  The main task is the starter of all other fibers: a kill or a deadlock cancels them,
/// and
///           resumes the main task when they have ended (or half of options.grace has passed), so
///           that its locals outlive them. A main task that returns, or throws of its own accord,
///           destroys its locals first: declare what fibers share outside of it, let with_group()
///           wait for them, or end them before.
/// Errors    std::system_error when the engine cannot be made: its sentence says who refused it and
///           what would allow it. errc::exited when the main task was killed. deadlock.
/// Kernel  Linux 6.1.
template <class T>
T run(task<T> main, options settings = {},
      std::source_location where = std::source_location::current()) {
  const std::unique_ptr<engine> carrier = make_engine(settings.engine, settings.sizes);
  return detail::run_on(*carrier, std::move(main), std::move(settings), where);
}

/// For `int main()`: runs the task and returns the exit code of the program.
///
/// SIGINT and SIGTERM kill the main task, which ends all other fibers first (see Lifetime above);
/// when `cancelled` leaves it, the code is 130 or 143. A program that calls shutdown_requested()
/// ends by itself instead, and has its own code. A second signal ends the process at once. An
/// uncaught error becomes one sentence on standard error and code 1.
///
/// The times count from the signal, or from the end of the main task if that comes first: at half
/// of options.grace the main task is resumed although fibers are alive; at options.grace those that
/// are left are listed, and shields end; at twice options.grace the code is 70. After
/// shutdown_requested() a signal has all of this happen options.grace later.
/// The signal dispositions are put back before it returns. One at a time in a process.
int run_main(task<> main, options settings = {},
             std::source_location where = std::source_location::current());
/// The same; what the task returns is the code.
int run_main(task<int> main, options settings = {},
             std::source_location where = std::source_location::current());

}  // namespace ringlet
