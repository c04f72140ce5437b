// The lines that members send: commands, and text for their room.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "member.hpp"
#include "room.hpp"
#include "server.hpp"
#include "text.hpp"

namespace chat {

struct member::command {
  std::string_view name;
  void (member::*run)(std::string_view rest);
  std::string_view help;
};

const member::command member::commands[] = {
    {"/join", &member::join, "/join ROOM: go into that room, which is made if needed"},
    {"/leave", &member::leave, "/leave: go out of your room"},
    {"/who", &member::who, "/who: who is in your room"},
    {"/rooms", &member::rooms, "/rooms: which rooms have members"},
    {"/msg", &member::message, "/msg NICK TEXT: say something to one member only"},
    {"/nick", &member::rename, "/nick NAME: be called something else"},
    {"/history", &member::history, "/history [N]: what was said in your room last"},
    {"/time", &member::time, "/time on|off: begin each line with the server's time"},
    {"/quit", &member::quit, "/quit: end the connection"},
    {"/help", &member::help, "/help: this list"},
};

void member::introduce(std::string_view name) {
  if (const std::string_view fault = fault_of_name(name); !fault.empty()) {
    tell(fmt::format("invalid nickname: {}; try another one", fault));
  } else if (home_.find(name) != nullptr) {
    tell("that nickname is taken; try another one");
  } else {
    name_ = name;
    home_.enlist(*this);
    tell(fmt::format("hello, {}: /join ROOM lets you talk, /help lists the commands", name_));
  }
}

void member::obey(std::string_view text) {
  if (text.empty()) return;
  if (text.starts_with("//")) {
    text.remove_prefix(1);  // text that begins with a slash
  } else if (text.front() == '/') {
    text = text.substr(0, text.find_last_not_of(blanks) + 1);
    const std::string_view name = take_word(text);
    for (const command& each : commands) {
      if (each.name == name) return (this->*each.run)(text);
    }
    return tell(fmt::format("no such command: {}; /help lists the commands", name));
  }
  if (is_in_a_room()) room_->say(fmt::format("[{}] {}: {}", room_->name(), name_, text));
}

bool member::is_in_a_room() {
  if (room_ == nullptr) tell("you are in no room: /join ROOM first");
  return room_ != nullptr;
}

void member::join(std::string_view name) {
  if (const std::string_view fault = fault_of_name(name); !fault.empty()) {
    return tell(fmt::format("invalid room name: {}", fault));
  }
  if (room_ != nullptr && room_->name() == name) return tell("you are there already");
  if (room_ != nullptr && room_->members().size() == 1) leave_room();  // makes place for another
  room* const found = home_.find_room(name);
  if (found == nullptr) return tell("there are too many rooms: join one that /rooms lists");
  leave_room();
  found->notice(fmt::format("* {} has joined {}", name_, name), nullptr);
  room_ = found;
  room_->enter(*this);
  repeat(room_->history().size());
  tell(fmt::format("you are in {} with {} others", name, room_->members().size() - 1));
}

void member::leave(std::string_view) {
  if (!is_in_a_room()) return;
  const std::string name = room_->name();
  leave_room();
  tell(fmt::format("you have left {}", name));
}

void member::leave_room() {
  if (room_ == nullptr) return;
  room& left = *std::exchange(room_, nullptr);
  left.leave(*this);
  if (home_.is_closing()) return;
  left.notice(fmt::format("* {} has left {}", name_, left.name()), nullptr);
}

void member::step_out() {
  leave_room();
  home_.strike_out(*this);
  name_.clear();
}

void member::list(std::string_view before, const std::vector<std::string>& names) {
  constexpr std::size_t columns = 1'000;  // then a line of its own
  std::string text;
  for (const std::string& name : names) {
    if (text.size() + name.size() > columns) {
      tell(fmt::format("{}: {}", before, text));
      text.clear();
    }
    if (!text.empty()) text += ", ";
    text += name;
  }
  tell(fmt::format("{}: {}", before, text.empty() ? "nobody" : text));
}

void member::who(std::string_view) {
  if (!is_in_a_room()) return;
  std::vector<std::string> names;
  for (const member* const each : room_->members()) names.push_back(each->name());
  list(fmt::format("in {}", room_->name()), names);
}

void member::rooms(std::string_view) {
  std::vector<std::string> names;
  for (const auto& [name, each] : home_.rooms()) {
    if (!each.members().empty())
      names.push_back(fmt::format("{} ({})", name, each.members().size()));
  }
  if (names.empty()) return tell("no room has members");
  list("rooms", names);
}

void member::message(std::string_view rest) {
  const std::string_view name = take_word(rest);
  if (name.empty() || rest.empty()) return tell("say /msg NICK TEXT");
  member* const receiver = home_.find(name);
  if (receiver == nullptr) return tell(fmt::format("there is no {}", name));
  receiver->deliver(make_line(fmt::format("(private) {}: {}", name_, rest)));
  deliver(make_line(fmt::format("(private) to {}: {}", name, rest)));
}

void member::rename(std::string_view name) {
  if (const std::string_view fault = fault_of_name(name); !fault.empty()) {
    return tell(fmt::format("invalid nickname: {}", fault));
  }
  if (home_.find(name) != nullptr) return tell("that nickname is taken");
  home_.strike_out(*this);
  const std::string before = std::exchange(name_, std::string(name));
  home_.enlist(*this);
  const std::string text = fmt::format("* {} is now {}", before, name_);
  if (room_ != nullptr) return room_->notice(text, nullptr);
  deliver(make_line(text));
}

void member::history(std::string_view count) {
  if (!is_in_a_room()) return;
  std::size_t lines = room_->history().size();
  const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), lines);
  if (!count.empty() && (error != std::errc() || end != count.data() + count.size())) {
    return tell("say /history, or /history and a number");
  }
  repeat(lines);
  tell(fmt::format("that was the end of what is kept of {}", room_->name()));
}

// Sends at most half of the size at which a queue is full, so that further lines fit, too.
void member::repeat(std::size_t lines) {
  const std::deque<line>& kept = room_->history();
  std::size_t count = 0;
  std::size_t bytes = 0;
  while (count < std::min(lines, kept.size()) && count < limits::queued_lines / 2) {
    bytes += kept[kept.size() - 1 - count]->size();
    if (bytes > limits::queued_bytes / 2) break;
    ++count;
  }
  for (std::size_t i = kept.size() - count; i < kept.size(); ++i) deliver(kept[i]);
}

void member::time(std::string_view on_or_off) {
  if (on_or_off != "on" && on_or_off != "off") return tell("say /time on or /time off");
  shows_time_ = on_or_off == "on";
  tell(fmt::format("lines come with{} the time", shows_time_ ? "" : "out"));
}

void member::quit(std::string_view) { dismiss("until next time"); }

void member::help(std::string_view) {
  for (const command& each : commands) tell(each.help);
  tell("all else is said to your room; //text says /text");
}

}  // namespace chat
