// The queue of lines from the keyboard to the server. It outlives connections.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/ringlet.hpp>

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace chat_client {

/// A line is waiting until it has been written to a connection. Text for a room is then unconfirmed
/// until the server repeats it to the room: lines written to a connection that breaks may be lost,
/// and there is no other confirmation.
class outbox {
 public:
  /// Waits while there is no room.
  ringlet::task<> push(std::string line);
  /// False when there is no room.
  bool try_push(std::string line);
  /// No more lines will be pushed.
  void end() noexcept;
  bool has_ended() const noexcept { return ended_.is_set(); }
  /// Waits for the end of the input. False on timeout.
  auto wait_for_end(ringlet::time_limit timeout) noexcept { return ended_.wait(timeout); }

  /// Waits for a line to send, and leaves it in the queue. Null if the input has ended and every
  /// line is sent. While too many lines are unconfirmed, it waits for the server.
  ringlet::task<const std::string*> front();
  /// The front line was written. `will_be_repeated`: it is text and we are in a room.
  void sent(bool will_be_repeated);

  /// The server has repeated this text of ours to the room. Lines sent before it have arrived, too,
  /// or were refused with a notice.
  void confirm(std::string_view text);
  /// The server has discarded a line.
  void refused();
  /// On a new connection: lines that were not confirmed on the last one wait again.
  void send_again();

  const std::deque<std::string>& waiting() const noexcept { return waiting_; }
  const std::deque<std::string>& unconfirmed() const noexcept { return unconfirmed_; }

 private:
  static constexpr std::size_t waiting_max = 1'000;
  static constexpr std::size_t unconfirmed_max = 10'000;

  std::deque<std::string> waiting_;
  std::deque<std::string> unconfirmed_;
  ringlet::event changed_;
  ringlet::event has_room_;
  ringlet::event ended_;
};

/// Whether a line is text for a room and not a command: "//" begins text with a slash.
bool is_text(std::string_view line) noexcept;
/// The text as the server repeats it.
std::string_view text_of(std::string_view line) noexcept;

}  // namespace chat_client
