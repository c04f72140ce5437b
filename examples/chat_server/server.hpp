// The server: its members, its rooms, and the handling of members that do not keep up.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/ringlet.hpp>

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>

#include "limits.hpp"
#include "member.hpp"
#include "room.hpp"

namespace chat {

class server {
 public:
  explicit server(const limits& given) : limits_(given) { nobody_left_.set(); }

  const limits& limit() const noexcept { return limits_; }

  /// Serves one connection to its end.
  ringlet::task<> serve(ringlet::tcp_stream peer);
  /// Never returns: regularly checks the watched members.
  ringlet::task<> watch();
  /// Tells all members the reason, and returns when they are gone.
  ringlet::task<> close(std::string_view reason);
  /// Whether all members are leaving, so that rooms need no notices about it.
  bool is_closing() const noexcept { return closing_; }

  // For members.

  /// A member is registered from the start to the end of its connection.
  void add(member& who) noexcept;
  void remove(member& who) noexcept;

  /// Registers the name of a member. No other member has it.
  void enlist(member& who) { names_.insert(&who); }
  void strike_out(const member& who) noexcept;
  /// Null if no member has that name.
  member* find(std::string_view name) const;

  using room_map = std::map<std::string, room, std::less<>>;
  const room_map& rooms() const noexcept { return rooms_; }
  /// Finds or creates a room. An empty room is kept for its history until its slot is needed. Null
  /// if the allowed number of rooms all have members.
  room* find_room(std::string_view name);

  void keep_an_eye_on(member& who);

 private:
  struct by_name {
    using is_transparent = void;
    bool operator()(const member* a, const member* b) const noexcept;
    bool operator()(const member* a, std::string_view b) const noexcept;
    bool operator()(std::string_view a, const member* b) const noexcept;
  };

  limits limits_;
  std::set<member*, by_name> names_;
  room_map rooms_;
  ringlet::extend::intrusive_list<member> present_;
  std::size_t present_count_ = 0;
  std::unordered_set<member*> watched_;
  ringlet::event somebody_watched_;
  ringlet::event nobody_left_;
  bool closing_ = false;
};

}  // namespace chat
