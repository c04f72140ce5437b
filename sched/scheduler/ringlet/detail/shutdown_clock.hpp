// shutdown_clock: when the steps of a shutdown are due.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>

#include <chrono>
#include <cstdint>

namespace ringlet::detail {

/// Starts when a signal kills the main task, or when the main task ends. At half of the timeout
/// starters are released, at the timeout shields end, at twice the timeout the program ends. If the
/// program kills the main task itself, the clock runs only to the release of starters.
class shutdown_clock {
 public:
  /// The last step that was taken.
  enum class stage : std::uint8_t {
    /// Starters are held until their fibers have ended.
    holding,
    /// At half of the timeout: starters resume although some of their fibers are alive.
    released,
    /// At the timeout: the remaining fibers were listed, and shields no longer hold anything back.
    listed,
  };

  explicit shutdown_clock(std::chrono::nanoseconds timeout) noexcept : timeout_(timeout) {}

  /// Starts the clock unless it is running. It then runs to the release of starters.
  void start(extend::steady_ns now) noexcept;
  /// Makes the clock run to the end of the program. A clock that runs only to the release restarts.
  void start_to_the_end(extend::steady_ns now) noexcept;
  /// The same when a signal has killed the main task.
  void start_by_signal(extend::steady_ns now) noexcept;
  /// Called when the main task was asked to end: it must be killed when the timeout has passed.
  void kill_main_later(extend::steady_ns now) noexcept;
  /// Whether that time has passed. Returns true only once.
  bool takes_kill_of_main(extend::steady_ns now) noexcept;
  /// Called when the main task has ended: it need not be killed.
  void forget_main() noexcept;

  stage reached() const noexcept { return stage_; }
  void enter(stage entered) noexcept;
  /// When the next step is due; never if none is.
  extend::steady_ns next() const noexcept { return next_; }

  /// For messages: whether the end began with a signal rather than with the end of the main task,
  /// and how long after that the next step is due.
  bool was_signalled() const noexcept { return signalled_at_ != extend::never; }
  extend::steady_ns time_to_next() const noexcept {
    return next_ - (was_signalled() ? signalled_at_ : start_);
  }

 private:
  void find_next() noexcept;

  std::chrono::nanoseconds timeout_;
  extend::steady_ns start_ = extend::never;         // never unless the clock runs
  extend::steady_ns kill_main_at_ = extend::never;  // if the request to end had no effect
  extend::steady_ns signalled_at_ = extend::never;  // never if the main task ended by itself
  extend::steady_ns next_ = extend::never;          // stored, because every turn reads it
  stage stage_ = stage::holding;
  bool to_the_end_ = false;
};

}  // namespace ringlet::detail
