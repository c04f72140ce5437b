// How much of everything the server gives away. What a stranger can use up is bounded by these.
#pragma once

#include <chrono>
#include <cstddef>

namespace chat {

struct limits {
  std::size_t rooms = 1'000;
  std::size_t members = 20'000;
  /// Lines of a room that are kept for later members.
  std::size_t history = 20;
  /// Without a line from a member for so long, it is sent away; zero for never.
  std::chrono::seconds idle{0};
  /// A newcomer has so long to say a nickname.
  std::chrono::seconds introduction{60};
  /// Lines a second that one member may send for long, and at once.
  double rate = 50;
  double burst = 200;

  /// Bytes in a line, without its end.
  static constexpr std::size_t line = 4 * 1024;
  /// What may wait to be sent to one member: a queue that holds this much is full. Until it is half
  /// empty again no member of the room is read from, unless it is the member that is slow. Twice
  /// as much is never exceeded: of a slow member, which the room does not wait for, lines are left
  /// out then.
  static constexpr std::size_t queued_lines = 2'000;
  static constexpr std::size_t queued_bytes = 256 * 1024;
  /// A member whose queue is full and that accepts nothing for this long is dropped.
  static constexpr std::chrono::seconds patience{5};
  /// A member that has left gets what was queued, if it reads it within this time.
  static constexpr std::chrono::seconds farewell{3};
};

}  // namespace chat
