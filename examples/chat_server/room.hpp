// A room: who is in it, what was said in it, and whether its members keep up.
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

  /// To everybody in it, and into the history.
  void say(std::string_view text);
  /// To everybody but `except`, and not into the history.
  void notice(std::string_view text, const member* except);

  /// One member more, or less, has a full queue.
  void count_full(int change) noexcept;

  /// Returns when most members keep up, at once if they do. When most do not, it is not they who
  /// are slow but the server, which had better stop reading from senders until it has caught up.
  /// For the few nobody waits; and those that accept nothing are dropped, so it does not last.
  ringlet::task<> until_it_flows();

 private:
  bool flows() const noexcept { return full_ * 2 <= members_.size(); }

  std::string name_;
  std::vector<member*> members_;
  std::deque<line> history_;
  std::size_t history_max_;
  std::size_t full_ = 0;    // members with a full queue
  ringlet::event flowing_;  // set as long as it does
};

}  // namespace chat
