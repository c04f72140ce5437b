// The lines between the keyboard and the server. They outlive connections.
#pragma once

#include <ringlet/ringlet.hpp>

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace chat_client {

/// A line is waiting until it was written to a connection. Text for a room is then unconfirmed,
/// until the server has repeated it to the room: what was written to a connection that breaks may
/// have been lost, and nothing else tells.
class outbox {
 public:
  /// Waits while there is no room.
  ringlet::task<> push(std::string line);
  /// False when there is no room.
  bool try_push(std::string line);
  /// No more will be pushed.
  void end() noexcept;
  bool has_ended() const noexcept { return ended_.is_set(); }
  /// Returns at the end of the input: true; false when the limit passed first.
  auto wait_for_end(ringlet::time_limit timeout) noexcept { return ended_.wait(timeout); }

  /// Waits for a line to send, and leaves it in its place. Null when the input has ended and all
  /// is sent. While very many lines are unconfirmed it waits for the server.
  ringlet::task<const std::string*> front();
  /// The front was written. `will_be_repeated` when it is text, and there is a room to hear it.
  void sent(bool will_be_repeated);

  /// We have said that in the room, as the server repeats it. What was sent before it has arrived,
  /// too, or else was refused with a notice.
  void confirm(std::string_view text);
  /// The server has thrown one away.
  void refused();
  /// On a new connection: what was not confirmed on the last one waits again.
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

/// Text for a room, and no command: "//" begins a text with a slash.
bool is_text(std::string_view line) noexcept;
/// As the server repeats it.
std::string_view text_of(std::string_view line) noexcept;

}  // namespace chat_client
