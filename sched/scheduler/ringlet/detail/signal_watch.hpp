// signal_watch: how run_main() and run_main_on_all() handle SIGINT and SIGTERM.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/scheduler.hpp>

#include <signal.h>

#include <atomic>
#include <exception>
#include <span>

namespace ringlet::detail {

/// Handles SIGINT and SIGTERM from construction to destruction. A process has at most one at a
/// time. A child of fork() gets the previous dispositions back. The second signal ends the program.
class signal_watch {
 public:
  /// Each signal wakes these engines, which must live longer. Throws std::bad_alloc.
  explicit signal_watch(std::span<extend::engine* const> woken);
  ~signal_watch();
  signal_watch(const signal_watch&) = delete;
  signal_watch& operator=(const signal_watch&) = delete;

  /// Makes the scheduler handle the signal, and end the program with exit code 70 if it cannot end.
  static void attach(extend::scheduler& handling) noexcept;
  /// The signal that has arrived; 0 if none has.
  static int received() noexcept;

 private:
  void restore() const noexcept;
  static void in_child() noexcept;
  static void on_signal(int number);

  static constinit std::atomic<const signal_watch*> here;
  std::span<extend::engine* const> woken_;
  struct sigaction before_interrupt_;
  struct sigaction before_terminate_;
};

/// The exit code of a program whose main task ended with `error`. Prints its sentence, after
/// `prefix`, unless a signal ended the program.
int exit_code_after(const std::exception_ptr& error, const char* prefix) noexcept;

}  // namespace ringlet::detail
