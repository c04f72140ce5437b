// The limits on every resource that a stranger can use up.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>

namespace chat {

struct limits {
  std::size_t rooms = 1'000;
  std::size_t members = 20'000;
  /// Lines kept per room for later members.
  std::size_t history = 20;
  /// A member that sends no line for this long is disconnected; zero for never.
  std::chrono::seconds idle{0};
  /// The time that a newcomer has to choose a nickname.
  std::chrono::seconds introduction{60};
  /// Lines per second that one member may send in the long run, and in a burst.
  double rate = 50;
  double burst = 200;

  /// Bytes in a line, without its LF.
  static constexpr std::size_t line = 4 * 1024;
  /// Bytes that may wait for one member: a queue with this much is full. Until it is half empty
  /// again, the server reads from no member of the room, unless the member itself is slow. A queue
  /// never exceeds twice this size: the room does not wait for a slow member, whose lines are then
  /// left out.
  static constexpr std::size_t queued_lines = 2'000;
  static constexpr std::size_t queued_bytes = 256 * 1024;
  /// A member whose queue is full and that accepts no bytes for this long is dropped.
  static constexpr std::chrono::seconds patience{5};
  /// The time that a leaving member has to read its queued lines.
  static constexpr std::chrono::seconds farewell{3};
};

}  // namespace chat
