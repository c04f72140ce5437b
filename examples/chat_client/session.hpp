// One connection to the server, from its welcome to its end.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/ringlet.hpp>

#include <optional>
#include <string>
#include <string_view>

#include "console.hpp"
#include "outbox.hpp"

namespace chat_client {

/// Our nickname and room. Outlives connections, and follows the server's answers.
struct identity {
  std::string nick;  // empty until chosen
  bool wants_nick;   // the next typed line is the nickname
  std::string room;  // empty for none
  bool shows_time = false;
  bool was_known = false;  // the server has accepted the nickname, on this or an earlier connection
};

class session {
 public:
  /// How the session ended.
  enum class ending {
    over,             // as requested
    hung_up,          // or the connection broke: why() may tell more
    nick_refused,     // the server has said why
    room_refused,     // the server has said why
    nobody_to_ask,    // the input ended before there was a nickname
    does_not_answer,  // or not like a chat server
  };

  /// The arguments must outlive the session. `names` provides requested nicknames.
  session(ringlet::tcp_stream server, console& screen, identity& self, outbox& out,
          ringlet::queue<std::string>& names);

  ringlet::task<ending> run();
  std::string_view why() const noexcept { return why_; }
  bool said_quit() const noexcept { return said_quit_; }
  /// Whether it got far enough to send lines.
  bool has_talked() const noexcept { return talks_; }

  /// Stops sending, and reads until the server has received everything and closed.
  ringlet::task<> leave();

 private:
  /// What the next notice of the server answers.
  enum class question { none, welcome, nick, room };

  ringlet::task<> read_lines();
  ringlet::task<> write_lines();
  ringlet::task<bool> introduce();
  ringlet::task<bool> choose_nick();
  ringlet::task<bool> enter_room();
  ringlet::task<bool> send(std::string line);
  ringlet::task<std::optional<bool>> ask(question asked, std::string line);
  ringlet::task<std::optional<bool>> answer();
  ringlet::task<bool> end(ending how);
  void note(std::string_view line);
  void note_answer(std::string_view notice);
  void finish_sending() noexcept;
  void show_prompt();

  ringlet::tcp_stream server_;
  console& screen_;
  identity& self_;
  outbox& out_;
  ringlet::queue<std::string>& names_;
  ringlet::queue<bool> answers_;
  question asked_ = question::welcome;
  std::optional<ending> how_;
  std::string why_;
  bool talks_ = false;
  bool sent_all_ = false;       // and has ended the write direction
  bool said_quit_ = false;      // and expects the server's goodbye
  bool was_sent_away_ = false;  // the server has said goodbye
};

}  // namespace chat_client
