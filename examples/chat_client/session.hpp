// One connection to the server, from its welcome to its end.
#pragma once

#include <ringlet/ringlet.hpp>

#include <optional>
#include <string>
#include <string_view>

#include "console.hpp"
#include "outbox.hpp"

namespace chat_client {

/// Who we are. It outlives connections, and follows what the server says.
struct identity {
  std::string nick;  // empty until one was chosen
  bool wants_nick;   // the next line that is typed is one
  std::string room;  // empty for none
  bool shows_time = false;
  bool was_known = false;  // by that nickname, in this connection or an earlier one
};

class session {
 public:
  /// How it ended.
  enum class ending {
    over,             // as we wanted it
    hung_up,          // or broke: why() tells more, if there is more
    nick_refused,     // the server has said why
    room_refused,     // the server has said why
    nobody_to_ask,    // the input ended before there was a nickname
    does_not_answer,  // not like a chat server, at least
  };

  /// All of these must outlive it. `names` brings nicknames that were asked for.
  session(ringlet::tcp_stream server, console& screen, identity& self, outbox& out,
          ringlet::queue<std::string>& names);

  ringlet::task<ending> run();
  std::string_view why() const noexcept { return why_; }
  bool said_quit() const noexcept { return said_quit_; }
  /// Whether it came so far that lines could be sent.
  bool has_talked() const noexcept { return talks_; }

  /// Sends no more, and reads until the server has got everything and closed.
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
  bool sent_all_ = false;       // and has told the server
  bool said_quit_ = false;      // and the server is to say goodbye
  bool was_sent_away_ = false;  // the server has said goodbye
};

}  // namespace chat_client
