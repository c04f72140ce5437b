// One member of the chat load, and the state that all members share: rooms, schedules, and the
// check of each line that arrives.
//
// The load generator spends most of its time here. So it does not allocate per line, and does not
// search for the end of an expected line: rooms and senders have numbers, all messages of a room
// have the same length, and the due time of a message follows from its sender and its number.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat_check.hpp"
#include "chat_line.hpp"
#include "chat_load_options.hpp"
#include "chat_load_report.hpp"

namespace bench {

using chat_clock = std::chrono::steady_clock;

/// A room and its senders, in the order of their numbers.
struct chat_room {
  std::uint32_t number;
  chat_line line;
  std::uint32_t first_sender = 0;       // The numbers of the other senders follow.
  std::vector<std::uint64_t> phase_ns;  // When each sender's first message is due, from the start.
  std::vector<std::uint32_t> sent;      // Messages from each sender; 0 once it is dropped.
};

/// Shared by all members. Times count from `start`.
struct chat_campaign {
  explicit chat_campaign(chat_load_options chosen) : options(std::move(chosen)) {}

  std::uint64_t now_ns() const {
    return static_cast<std::uint64_t>((chat_clock::now() - start).count());
  }
  /// A message has been sent to `members` members.
  void await(std::size_t members) {
    awaited += members;
    is_under_way.set();
  }
  std::uint64_t due_ns(const chat_room& room, std::size_t sender, std::uint32_t sequence) const {
    return room.phase_ns[sender] + sequence * interval_ns;
  }

  chat_load_options options;
  chat_load_report report;
  std::deque<chat_room> rooms;
  chat_clock::time_point start = chat_clock::now();
  std::uint64_t interval_ns = 0;      // Between two messages of one member.
  std::uint64_t window_begin_ns = 0;  // The latency is recorded of messages that are due in
  std::uint64_t window_size_ns = 0;   // this window.
  std::size_t joined = 0;
  std::uint64_t awaited = 0;    // Deliveries expected for the messages sent so far.
  ringlet::event is_under_way;  // Some of them have not arrived.
  bool measuring = false;
  bool stopping = false;  // Nothing more is sent.
  bool ending = false;    // The members are leaving: the end of a connection is not a fault.
};

enum class chat_role : std::uint8_t {
  talker,  // Sends and reads.
  silent,  // Reads until it is in its room, then stops reading.
  idle,    // Reads, but no member of its room talks.
};

class chat_member {
 public:
  /// `place_in_room` is its number among the senders of the room, if it is one.
  chat_member(chat_campaign& campaign, chat_room& where, chat_role what, std::uint32_t who,
              std::size_t place_in_room = 0)
      : all(campaign),
        room(where),
        role(what),
        number(who),
        place(place_in_room),
        check(what == chat_role::talker ? where.sent.size() : 0) {}

  /// Takes bytes from the server, split anywhere.
  void take(std::string_view data) {
    const std::uint64_t now_ns = all.now_ns();
    if (!rest_.empty()) data = take_rest(data, now_ns);
    while (!data.empty()) {
      if (data.size() >= room.line.size() && on_message(data.data(), now_ns)) {
        data.remove_prefix(room.line.size());
        continue;
      }
      const std::size_t end = data.find('\n');
      if (end == data.npos) {
        rest_ = data;
        return;
      }
      on_other_line(data.substr(0, end));
      data.remove_prefix(end + 1);
    }
  }

  /// The connection was lost or never established.
  void drop(const std::string& reason) {
    if (!alive) return;
    alive = false;
    if (role == chat_role::talker) room.sent[place] = 0;
    if (all.ending) return;
    const std::string& said = goodbye_.empty() ? reason : goodbye_;
    if (!joined) {
      ++all.report.errors["not let in: " + said + last_words()];
    } else if (role == chat_role::silent) {
      ++all.report.silent_dropped;
    } else {
      ++all.report.members_dropped;
      ++all.report.errors["dropped: " + said];
    }
  }

  /// The server's last notice before the member was in its room, for error messages.
  std::string last_words() const {
    return last_notice_.empty() ? "" : " (the server said last: `" + last_notice_ + "`)";
  }

  chat_campaign& all;
  chat_room& room;
  const chat_role role;
  const std::uint32_t number;
  const std::size_t place;
  chat_check check;
  ringlet::tcp_stream stream;
  bool joined = false;
  bool alive = true;
  bool writing = false;

 private:
  // Longer than any line of a server that follows the protocol.
  static constexpr std::size_t rest_max = 64 * 1024;

  // Completes the line that was split. Returns the bytes after it.
  std::string_view take_rest(std::string_view data, std::uint64_t now_ns) {
    const std::size_t end = data.find('\n');
    const std::size_t used = end == data.npos ? data.size() : end + 1;
    rest_ += data.substr(0, used);
    if (end == data.npos && rest_.size() < rest_max) return {};
    const std::string_view line = rest_;
    if (line.size() != room.line.size() || !on_message(line.data(), now_ns)) {
      on_other_line(line.substr(0, line.size() - (end == data.npos ? 0 : 1)));
    }
    rest_.clear();
    return data.substr(used);
  }

  bool on_message(const char* line, std::uint64_t now_ns) {
    chat_message message;
    if (!room.line.read(line, message)) return false;
    const std::size_t sender = message.sender - room.first_sender;
    if (sender >= check.senders()) return false;
    const std::uint64_t due_ns = all.due_ns(room, sender, message.sequence);
    if (!chat_line::has_time(line, due_ns)) return false;
    check.on_message(sender, message.sequence, all.report.tally);
    if (due_ns - all.window_begin_ns < all.window_size_ns) {
      all.report.latency_ns.add(now_ns - due_ns);
    }
    return true;
  }

  void on_other_line(std::string_view line) {
    if (!line.starts_with("* ")) {
      constexpr std::size_t shown_max = 160;
      if (all.report.tally.foreign++ == 0) all.report.foreign_line = line.substr(0, shown_max);
      return;
    }
    if (line.starts_with("* goodbye")) goodbye_ = line;
    if (joined) return;
    last_notice_ = line;
    if (!line.starts_with("* you are in ")) return;
    joined = true;
    ++all.joined;
  }

  std::string rest_;  // An incomplete line.
  std::string last_notice_;
  std::string goodbye_;
};

}  // namespace bench
