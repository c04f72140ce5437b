// A room: its members, its history, and whether its members keep up.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/ringlet.hpp>

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "line.hpp"

namespace chat {

class member;

class room {
 public:
  room(std::string_view name, std::size_t history_max) : name_(name), history_max_(history_max) {}

  const std::string& name() const noexcept { return name_; }
  const std::vector<member*>& members() const noexcept { return members_; }
  const std::deque<line>& history() const noexcept { return history_; }

  void enter(member& who);
  void leave(member& who);

  /// Sends to all members and adds to the history.
  void say(std::string_view text);
  /// Sends to all members except `except`; not added to the history.
  void notice(std::string_view text, const member* except);

  /// One more member, or one less, is behind: see member::is_behind().
  void count_behind(int change) noexcept;

  /// Whether no member is behind. While a member is, the server is too slow for this room, and
  /// should not read more lines for it until it has caught up.
  bool flows() const noexcept { return behind_ == 0; }
  /// Waits until it does, or did; an empty one does, so no member waits in a room that can go.
  ringlet::event::waiting until_it_flows() noexcept { return flowing_.wait(); }

 private:
  std::string name_;
  std::vector<member*> members_;
  std::deque<line> history_;
  std::size_t history_max_;
  std::size_t behind_ = 0;  // members that are
  ringlet::event flowing_;  // set as long as it does
};

}  // namespace chat
