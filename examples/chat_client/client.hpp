// The client: staying connected, and handling typed lines.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/ringlet.hpp>

#include <chrono>
#include <optional>
#include <string>

#include "console.hpp"
#include "outbox.hpp"
#include "session.hpp"

namespace chat_client {

/// Delays between attempts to connect: doubled from 0.5 s to 30 s, with some jitter, so that the
/// clients of a restarted server do not all connect at once.
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
  void take(const std::string& line);
  ringlet::task<int> stay_connected();
  /// Returns the exit code, or nothing to try again; reason_ then says why.
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
  int failures_ = 0;  // attempts in a row in which no line could be sent
  bool connected_ = false;
  bool was_connected_ = false;
};

}  // namespace chat_client
