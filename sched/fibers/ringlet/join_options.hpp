// join_options: which of several fibers to wait for, and how long.
//
//     const join_options two{.timeout = 5s, .count = 2, .raise = true};
//     const bool have_ended = co_await joinall(fibers, two);
//     if (have_ended) show("two have succeeded");
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/time_limit.hpp>

#include <cstddef>
#include <limits>

namespace ringlet {

/// What joinall() and wait_some() wait for.
struct join_options {
  /// The number of the fibers, whatever it is.
  static constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

  /// One limit for the whole call.
  time_limit timeout = forever;
  /// Return as soon as this many have ended.
  std::size_t count = all;
  /// Throw the first failure, in the order in which fibers end, as soon as it occurs; the other
  /// fibers keep running. That error then counts as handled.
  bool raise = false;
};

}  // namespace ringlet
