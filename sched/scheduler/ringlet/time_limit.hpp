// time_limit: the limit of a wait.
//
//     co_await jobs.pop();            // however long it takes
//     co_await jobs.pop(500ms);       // half a second, from now on
//     co_await jobs.pop(now() + 2s);  // a deadline, for several calls together
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>

#include <chrono>
#include <ratio>

namespace ringlet {

/// The limit of a wait: a duration from the moment the wait begins, a steady point in time, or
/// `forever`. With a limit that has already passed, a call that must wait does so until the end of
/// this turn of the scheduler, and succeeds if what it waits for comes by then. Calls whose names
/// begin with try_ do not wait at all.
///
/// Converts from any std::chrono duration and from std::chrono::steady_clock::time_point. Durations
/// of 146 years or more count as forever.
///
/// Calls that a connection makes for every message take the limit by reference: g++ keeps a copy of
/// a default argument of class type in the frame of every caller.
class time_limit {
 public:
  /// A duration, rounded up to nanoseconds. Zero and less have passed when the wait begins.
  template <class Rep, class Period>
  constexpr time_limit(std::chrono::duration<Rep, Period> timeout) noexcept
      : value_(encode(nanoseconds_rounded_up(timeout))) {}
  /// A point in time of now().
  constexpr time_limit(std::chrono::steady_clock::time_point deadline) noexcept
      : value_(deadline.time_since_epoch().count() < 0 ? 0 : deadline.time_since_epoch().count()) {}

  /// A point in time in nanoseconds, such as resolve() returns.
  static constexpr time_limit at(extend::steady_ns deadline) noexcept {
    return time_limit(deadline);
  }

  /// Whether it never passes.
  constexpr bool is_forever() const noexcept { return value_ == extend::never; }

  /// The deadline in nanoseconds, for a wait that begins at `now`; extend::never if there is none.
  constexpr extend::steady_ns resolve(extend::steady_ns now) const noexcept {
    if (value_ >= 0) return value_;
    const extend::steady_ns timeout = -(value_ + 1);
    return timeout >= extend::never - now ? extend::never : now + timeout;
  }

 private:
  static constexpr double limit = 4.6e18;

  explicit constexpr time_limit(extend::steady_ns deadline) noexcept : value_(deadline) {}

  template <class Rep, class Period>
  static constexpr extend::steady_ns nanoseconds_rounded_up(
      std::chrono::duration<Rep, Period> timeout) noexcept {
    // Compared as a double first: many durations, positive and negative, do not fit into
    // nanoseconds.
    if (!(timeout > timeout.zero())) return 0;
    if (std::chrono::duration<double, std::nano>(timeout).count() >= limit) return extend::never;
    return std::chrono::ceil<std::chrono::nanoseconds>(timeout).count();
  }
  // Timeouts are stored as negative numbers, so that a limit costs a wait eight bytes.
  static constexpr extend::steady_ns encode(extend::steady_ns timeout) noexcept {
    if (timeout == extend::never) return extend::never;
    return -timeout - 1;
  }

  extend::steady_ns value_;
};

/// No limit.
inline constexpr time_limit forever = time_limit::at(extend::never);

}  // namespace ringlet
