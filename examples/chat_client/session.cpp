// The two fibers of a connection: one reads and follows the server's lines, one writes.
// SPDX-License-Identifier: MIT
#include "session.hpp"

#include <fmt/format.h>

#include <chrono>
#include <system_error>
#include <utility>

#include "text.hpp"

namespace chat_client {

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

// The longest line from the server, with room and nickname.
constexpr std::size_t line_from_server_max = 16 * 1024;
// A running server answers immediately.
constexpr auto patience = 10s;
// The system sends keepalive probes after this long without a packet from the server.
constexpr auto keep_alive = 60s;

bool is_quit(std::string_view line) noexcept {
  return line.starts_with("/quit") && (line.size() == 5 || line[5] == ' ' || line[5] == '\t');
}

// The server's notices about text that it did not distribute.
bool is_refusal(std::string_view notice) noexcept {
  return notice.ends_with("thrown away") || notice.starts_with("* you are in no room");
}

}  // namespace

session::session(tcp_stream server, console& screen, identity& self, outbox& out,
                 queue<std::string>& names)
    : server_(std::move(server)), screen_(screen), self_(self), out_(out), names_(names) {
  server_.set_keep_alive(keep_alive);
}

task<session::ending> session::run() {
  const auto both = [this](task_group& group) -> task<> {
    group.spawn(write_lines());
    co_await read_lines();
    group.cancel();  // there is no server to write to
  };
  co_await with_group(both);
  if (how_) co_return *how_;
  const bool took_all = sent_all_ && !was_sent_away_ && why_.empty();
  co_return took_all || said_quit_ ? ending::over : ending::hung_up;
}

// For the writer: the reader still shows the lines that have arrived, then finds the connection
// closed.
task<bool> session::end(ending how) {
  how_ = how;
  co_await server_.close();
  co_return false;
}

task<> session::read_lines() {
  reader lines(server_, line_from_server_max);
  for (;;) {
    const auto line = co_await as_result(lines.read_line());
    if (!line && line.error() == errc::too_long) {
      screen_.say("a line of the server was too long, and is left out");
    } else if (!line) {
      why_ = line.error().message();
      co_return;
    } else if (!*line) {
      co_return;
    } else {
      // Shown before its effects, such as a new prompt.
      const std::string text(**line);
      co_await screen_.show(printable(text));
      note(text);
    }
  }
}

void session::note(std::string_view line) {
  const std::string_view text = without_time(line);
  if (!text.starts_with("* ")) {
    const std::string ours = fmt::format("[{}] {}: ", self_.room, self_.nick);
    if (text.starts_with(ours)) out_.confirm(text.substr(ours.size()));
    return;
  }
  if (text.starts_with("* goodbye: ")) {
    was_sent_away_ = true;  // not an answer to a question
    return;
  }
  if (is_refusal(text)) out_.refused();
  if (const auto room = between(text, "* you are in ", " with "); !room.empty()) {
    self_.room = room;
  } else if (text.starts_with("* you have left ")) {
    self_.room.clear();
  } else if (const std::string renamed = fmt::format("* {} is now ", self_.nick);
             text.starts_with(renamed)) {
    self_.nick = text.substr(renamed.size());
  } else if (text.starts_with("* lines come with")) {
    self_.shows_time = text.starts_with("* lines come with the time");
  }
  note_answer(text);
  show_prompt();
}

void session::note_answer(std::string_view notice) {
  const question asked = std::exchange(asked_, question::none);
  if (asked == question::none) return;
  const bool yes = asked == question::nick   ? notice.starts_with("* hello, ")
                   : asked == question::room ? notice.starts_with("* you are in ")
                                             : true;
  answers_.try_push(yes);
}

void session::show_prompt() {
  constexpr std::size_t room_bytes_max = 100;  // 32 characters
  screen_.set_prompt(self_.nick.empty() ? "nickname: "
                     : self_.room.empty()
                         ? "> "
                         : fmt::format("[{}] ", printable(self_.room.substr(0, room_bytes_max))));
  screen_.set_comes_back(talks_ && !self_.room.empty());
}

task<bool> session::send(std::string line) {
  line += '\n';
  // The reader reports an error: it first gets the server's last lines, then the same error.
  co_return (co_await as_result(server_.write_all(line))).has_value();
}

task<> session::write_lines() {
  if (!co_await introduce()) co_return;
  talks_ = true;
  out_.send_again();
  self_.was_known = true;
  show_prompt();
  while (const std::string* const line = co_await out_.front()) {
    if (!co_await send(*line)) co_return;
    said_quit_ = is_quit(*line);
    // In a pipe the user does not see that no room receives the text.
    out_.sent(is_text(*line) && (!self_.room.empty() || !is_typed_by_a_person()));
    if (said_quit_) co_return;
  }
  finish_sending();
}

// Sets the question first: the answer may arrive before the call that sends returns.
task<std::optional<bool>> session::ask(question asked, std::string line) {
  asked_ = asked;
  const bool is_sent = co_await send(std::move(line));
  if (!is_sent) co_return std::nullopt;
  co_return co_await answer();
}

task<std::optional<bool>> session::answer() {
  const auto got = co_await as_result(answers_.pop(patience));
  if (got) co_return *got;
  co_await end(ending::does_not_answer);
  co_return std::nullopt;
}

task<bool> session::introduce() {
  // A named variable for g++ 12, which miscompiles a coroutine that only waits in conditions.
  bool goes_on = (co_await answer()).has_value();  // the welcome
  if (goes_on) goes_on = co_await choose_nick();
  if (goes_on && !self_.room.empty()) goes_on = co_await enter_room();
  if (goes_on && self_.shows_time) goes_on = co_await send("/time on");
  co_return goes_on;
}

task<bool> session::choose_nick() {
  show_prompt();
  for (;;) {
    if (self_.nick.empty()) {
      const auto name = co_await as_result(names_.pop());
      if (!name) co_return co_await end(ending::nobody_to_ask);
      self_.nick = *name;
      show_prompt();
    }
    const auto accepted = co_await ask(question::nick, self_.nick);
    if (!accepted || *accepted) co_return accepted.has_value();
    // The server may not yet know that our last connection is gone: the client tries again later.
    if (self_.was_known || !is_typed_by_a_person()) co_return co_await end(ending::nick_refused);
    self_.nick.clear();
    self_.wants_nick = true;
    show_prompt();
  }
}

task<bool> session::enter_room() {
  const auto entered = co_await ask(question::room, "/join " + self_.room);
  if (!entered || *entered) co_return entered.has_value();
  if (!is_typed_by_a_person()) co_return co_await end(ending::room_refused);
  self_.room.clear();  // the server has said why; another room can be joined
  co_return true;
}

void session::finish_sending() noexcept {
  try {
    server_.shutdown_write();
    sent_all_ = true;
  } catch (const std::system_error&) {
    // The peer is gone; the reader will notice.
  }
}

task<> session::leave() {
  if (!sent_all_) finish_sending();
  buffer unread = co_await server_.receive();
  while (unread) unread = co_await server_.receive();
}

}  // namespace chat_client
