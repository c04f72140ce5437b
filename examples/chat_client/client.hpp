// The client: staying connected, and what is typed.
#pragma once

#include <ringlet/ringlet.hpp>

#include <chrono>
#include <optional>
#include <string>

#include "console.hpp"
#include "outbox.hpp"
#include "session.hpp"

namespace chat_client {

/// How long to wait before each further attempt: doubled from half a second to half a minute, and
/// each a little off, so that the clients of a server that was restarted do not all come at once.
class back_off {
 public:
  static constexpr std::chrono::duration<double> first{0.5};
  static constexpr std::chrono::duration<double> longest{30};

  std::chrono::duration<double> next();
  void reset() noexcept { base_ = first; }

 private:
  std::chrono::duration<double> base_ = first;
};

class client {
 public:
  /// `screen` must outlive it.
  client(console& screen, ringlet::address server, std::string nick, std::string room);

  /// From the first connection to the end of the input; returns the exit code.
  ringlet::task<int> run();

 private:
  ringlet::task<> read_keyboard();
  void take(std::string line);
  ringlet::task<int> stay_connected();
  /// The exit code, or nothing when it is to be tried again, for the reason in reason_.
  ringlet::task<std::optional<int>> connect_and_talk();
  std::optional<int> after(session::ending how);
  std::optional<int> after_refusal();
  ringlet::task<> pause();
  bool gives_up() const;
  int report_losses();
  int fail(const std::string& text);

  console& screen_;
  ringlet::address server_;
  identity self_;
  outbox out_;
  ringlet::queue<std::string> names_;
  std::optional<session> session_;
  back_off pauses_;
  std::string reason_;
  int failures_ = 0;        // attempts in a row in which no line could be sent
  bool connected_ = false;  // now
  bool was_connected_ = false;
};

}  // namespace chat_client
