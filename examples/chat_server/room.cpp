// Delivers a line to all members of a room.
// SPDX-License-Identifier: MIT
#include "room.hpp"

#include <vector>

#include "member.hpp"

namespace chat {

void room::enter(member& who) {
  members_.push_back(&who);
  if (who.is_behind()) count_behind(1);
}

void room::leave(member& who) {
  std::erase(members_, &who);
  if (who.is_behind()) count_behind(-1);
}

void room::say(std::string_view text) {
  const line said = make_line(text);
  if (history_max_ != 0) {
    if (history_.size() == history_max_) history_.pop_front();
    history_.push_back(said);
  }
  for (member* const each : members_) each->deliver(said);
}

void room::notice(std::string_view text, const member* except) {
  const line told = make_line(text);
  for (member* const each : members_) {
    if (each != except) each->deliver(told);
  }
}

void room::count_behind(int change) noexcept {
  behind_ += static_cast<std::size_t>(change);
  if (flows()) {
    flowing_.set();
  } else {
    flowing_.reset();
  }
}

}  // namespace chat
