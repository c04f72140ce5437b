// shutdown_clock: when the steps of a shutdown are due.
#pragma once

#include <ringlet/extend/engine.hpp>

#include <chrono>
#include <cstdint>

namespace ringlet::detail {

/// Starts when a signal kills the main task, or when the main task ends. At half of the timeout
/// starters are released, at the timeout shields end, at twice the timeout the program ends. When
/// the program kills the main task itself, it counts to the release only.
class shutdown_clock {
 public:
  /// What has happened since it started.
  enum class stage : std::uint8_t {
    /// Starters are held until their fibers have ended.
    holding,
    /// At half of the timeout: starters are resumed although fibers of theirs are alive.
    released,
    /// At the timeout: what is left was listed, and shields hold nothing back any more.
    listed,
  };

  explicit shutdown_clock(std::chrono::nanoseconds timeout) noexcept : timeout_(timeout) {}

  /// Starts it, unless it runs: it counts to the release of starters.
  void start(extend::steady_ns now) noexcept;
  /// It counts to the end of the program. One that counts to the release starts anew.
  void start_to_the_end(extend::steady_ns now) noexcept;
  /// The main task was asked to end, and is to be killed when the timeout has passed.
  void kill_main_later(extend::steady_ns now) noexcept;
  /// Whether that time has come; true once.
  bool takes_kill_of_main(extend::steady_ns now) noexcept;
  /// It has ended.
  void forget_main() noexcept;

  stage reached() const noexcept { return stage_; }
  void enter(stage entered) noexcept;
  /// When the next step is due; never while none is.
  extend::steady_ns next() const noexcept { return next_; }

 private:
  void find_next() noexcept;

  std::chrono::nanoseconds timeout_;
  extend::steady_ns start_ = extend::never;         // never while it does not run
  extend::steady_ns kill_main_at_ = extend::never;  // when the request to end has brought no end
  extend::steady_ns next_ = extend::never;          // kept, because every turn looks at it
  stage stage_ = stage::holding;
  bool to_the_end_ = false;
};

}  // namespace ringlet::detail
