// runtime and run_main_on_all: several schedulers, on a thread each, that start and end together.
//
// A server that uses all cores:
//
//     task<> serve() {
//       auto listener = tcp_listener::bind("127.0.0.1:9090", {.reuse_port = true});
//       for (;;) spawn(echo(co_await listener.accept()));
//     }
//     int main() { return run_main_on_all(serve); }
//
// A program that has threads of its own, and uses ringlet for a part of its work:
//
//     page front_page() {
//       runtime workers({.threads = 4, .name = "fetch"});
//       const remote_fiber<page> front = workers.spawn(0, fetch, "/index.html");
//       return front.get_blocking();  // blocks this thread; the destructor ends the schedulers
//     }
//
// Fibers stay on the scheduler that they were spawned on; see run_on() for how they call another
// one.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/runtime_core.hpp>
#include <ringlet/extend/located.hpp>
#include <ringlet/runtime_options.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/spawnable.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

/// For `int main()`: calls `f(k)`, or `f()`, on each of several schedulers, and returns the
/// program's exit code. The first scheduler runs on the calling thread. `f` returns task<> or
/// task<int>: the main task of scheduler `k`. Several threads call the same `f` at once, as a const
/// object. It is kept until all have ended, so it may be a capturing lambda. The tasks begin when
/// `f` has returned on every scheduler: what it opens there, such as a listener, is open on all of
/// them before the first task runs.
///
/// The schedulers end together. A main task that returns leaves its scheduler running: the fibers
/// there, and calls from other schedulers, continue until the last main task has returned. The
/// first main task that throws, SIGINT and SIGTERM kill all main tasks, each of which ends the
/// fibers that it has started first, on whatever scheduler. No scheduler is gone while another one
/// has a fiber. The times of run_main() hold for each scheduler, also while it
/// waits for the rest.
///
/// The exit code is that of run_main(): 130 or 143 if a signal killed a main task and none threw; 1
/// if one threw, with a line on standard error that names the scheduler; else the first code other
/// than 0, in the order of the schedulers. The first shutdown_requested() on any scheduler counts
/// for all. A second signal ends the process immediately.
///
/// Errors    Reported as a line on standard error: if the options are bad, or one scheduler cannot
///           be made, which the line names, no main task starts. Errors of further main tasks go
///           to options::on_unhandled_error. A `deadlock` is reported when no scheduler can
///           continue, and nothing but another scheduler could wake one. (A thread with a
///           scheduler_handle could.)
/// Thread    A process may run only one run_main_on_all() or run_main() at a time. The new threads
///           block signals.
template <detail::main_maker F>
int run_main_on_all(F f, runtime_options settings = {},
                    std::source_location where = std::source_location::current());

/// Schedulers for a program that has a main() of its own. They start in the constructor, all or
/// none, each on a new thread, and do not touch signals.
///
/// Errors    The constructor throws std::system_error if a thread or an engine cannot be made: the
///           message names the scheduler. std::invalid_argument for bad options; std::bad_alloc.
/// Lifetime  The destructor calls stop() and waits for the end. Destroy it on a thread that runs
///           none of its schedulers: otherwise it aborts.
/// Thread    Any, except where noted; but only one may join or destroy it.
class runtime {
 public:
  /// Schedulers without main tasks: they run what other threads spawn, until stop().
  explicit runtime(runtime_options settings = {},
                   std::source_location where = std::source_location::current());
  /// Runs `f(k)`, or `f()`, on each scheduler, as run_main_on_all() does. The schedulers end when
  /// all main tasks have returned, when one has thrown, or by stop().
  template <detail::main_maker F>
  explicit runtime(F f, runtime_options settings = {},
                   std::source_location where = std::source_location::current());
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;
  ~runtime();

  /// How many schedulers there are.
  std::size_t size() const noexcept { return core_->count(); }
  /// A handle to the scheduler with that number, from 0; aborts if there is none.
  scheduler_handle handle(std::size_t k) const;

  /// Starts a fiber on scheduler `k`; see scheduler_handle::spawn().
  template <class F, class... Args>
  requires spawnable<F, Args...>
  auto spawn(extend::located<std::size_t> k, F&& f, Args&&... args) const {
    return handle(k.value).spawn_from(k.where, std::forward<F>(f), std::forward<Args>(args)...);
  }
  /// Calls a function on scheduler `k`, and blocks this thread; see scheduler_handle::call().
  template <class F, class... Args>
  requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
  auto call(extend::located<std::size_t> k, F&& f, Args&&... args) const {
    return handle(k.value).call_from(k.where, std::forward<F>(f), std::forward<Args>(args)...);
  }
  /// Starts the fiber `f(k)`, or `f()`, on each scheduler, and blocks this thread until all have
  /// ended. Throws the first error, in the order of the schedulers.
  template <detail::main_maker F>
  void call_on_all(F f, std::source_location where = std::source_location::current()) const;

  /// Ends all fibers on all schedulers, as the end of a main task does. Returns at once.
  void stop() noexcept { core_->stop(); }
  /// Blocks this thread until all schedulers have ended: after stop(), or when all main tasks have
  /// returned. Throws the error of the first main task that threw; errc::fiber_cancelled if a main
  /// task was killed, though not by stop() or the failure of another one.
  void join() { core_->join(); }

  /// dump() of each scheduler. Blocks this thread.
  std::string dump() const;

 private:
  std::unique_ptr<detail::runtime_core> core_;
};

template <detail::main_maker F>
int run_main_on_all(F f, runtime_options settings, std::source_location where) {
  return detail::runtime_core::run_as_main(
      std::move(settings),
      [&f](std::size_t k, detail::start_line* line) { return detail::call_main(f, k, line); },
      where);
}

template <detail::main_maker F>
runtime::runtime(F f, runtime_options settings, std::source_location where)
    : core_(std::make_unique<detail::runtime_core>(
          std::move(settings),
          [kept = std::make_shared<const F>(std::move(f))](std::size_t k,
                                                           detail::start_line* line) {
            return detail::call_main(*kept, k, line);
          },
          where)) {
  core_->start();
}

template <detail::main_maker F>
void runtime::call_on_all(F f, std::source_location where) const {
  std::vector<remote_fiber<int>> calls;
  calls.reserve(size());  // a call that has begun uses `f`, and must be among them
  std::exception_ptr first;
  try {
    for (std::size_t k = 0; k < size(); ++k) {
      calls.push_back(spawn({k, where}, &detail::call_main<F>, std::cref(f), k, nullptr));
    }
  } catch (...) {
    first = std::current_exception();
    for (const auto& begun : calls) begun.request_kill();
  }
  for (const auto& begun : calls) {
    begun.join_blocking();
    if (first == nullptr && begun.result() == outcome::error) first = begun.error();
  }
  if (first != nullptr) std::rethrow_exception(first);
  for (const auto& begun : calls) begun.get_blocking();
}

}  // namespace ringlet
