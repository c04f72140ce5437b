// A member: one connection, of which one fiber reads and one writes.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "limits.hpp"
#include "line.hpp"

namespace chat {

class room;
class server;

class member : public ringlet::extend::list_hook<> {
 public:
  using clock = std::chrono::steady_clock;

  member(server& home, ringlet::tcp_stream peer);
  member(const member&) = delete;
  member& operator=(const member&) = delete;
  ~member();

  /// From the prompt for its name to its last line. Errors of the connection end it silently. Both
  /// of its fibers belong to the group.
  ringlet::task<> serve(ringlet::task_group& both);

  const std::string& name() const noexcept { return name_; }

  /// Adds a line to its queue, or leaves it out if the queue is full. Never waits.
  void deliver(const line& what);
  /// Sends a notice, which begins with "* ", to this member only.
  void tell(std::string_view text);
  /// Sends the queued lines, then the reason, then ends the connection.
  void dismiss(std::string_view reason);
  /// A check by server::watch(). False if no more checks are needed.
  bool look_after(clock::time_point now);
  /// Whether its queue is full although its connection accepts bytes: the server is slow, not the
  /// member.
  bool is_behind() const noexcept { return full_ && !slow_; }

 private:
  ringlet::task<> write_lines();
  /// Sends that line and the lines queued behind it. False if the peer is gone.
  ringlet::task<bool> send_queued(line& first);
  /// Ends the stream to the peer, which then has some time to end its own.
  ringlet::task<> end_output();
  /// How long it may be silent. No limit once it is leaving: the writer has its own.
  ringlet::time_limit patience(ringlet::time_limit introduced_by) const noexcept;
  ringlet::task<> keep_to_the_rate();
  bool is_held_up() const noexcept;
  ringlet::task<> until_its_room_flows();
  void take(std::string_view text);
  void tell_what_is_too_long();
  // Handlers of its lines, in commands.cpp.
  struct command;
  static const command commands[];
  void introduce(std::string_view name);
  void obey(std::string_view text);
  void join(std::string_view name);
  void leave(std::string_view);
  void who(std::string_view);
  void rooms(std::string_view);
  void message(std::string_view name_and_text);
  void rename(std::string_view name);
  void history(std::string_view count);
  void time(std::string_view on_or_off);
  void quit(std::string_view);
  void help(std::string_view);
  bool is_in_a_room();
  void list(std::string_view before, const std::vector<std::string>& names);
  void repeat(std::size_t lines);

  void leave_room();
  /// Leaves the room and gives up the name, but keeps the connection.
  void step_out();
  void measure_queue();
  void set_pace(bool full, bool slow);
  std::string_view shown(const line& what) const noexcept {
    return shows_time_ ? with_time(what) : without_time(what);
  }

  // In this order, the members that each delivery touches are adjacent: most are not in the cache.
  server& home_;
  ringlet::tcp_stream peer_;
  ringlet::queue<line, bytes_of_line> outbox_;
  std::uint64_t left_out_ = 0;   // lines left out because the queue was full
  std::uint64_t write_end_ = 0;  // bytes, when what is being written is
  bool shows_time_ = false;
  bool leaving_ = false;
  bool filling_ = false;      // its queue is half full, and therefore looked at
  bool full_ = false;         // it is, or has been and is not half empty yet
  bool slow_ = false;         // and the connection is why
  std::uint8_t unmoved_ = 0;  // looks in a row since which what is being written got no further
  bool input_ended_ = false;
  bool output_ended_ = false;
  std::uint64_t written_ = 0;      // bytes, at the last look
  clock::time_point accepted_at_;  // when it last accepted something; while leaving: since when
  ringlet::task_group* both_ = nullptr;  // its two fibers, while they run
  std::string name_;                     // empty before it was introduced
  room* room_ = nullptr;
  double tokens_;  // lines that it may send now
  clock::time_point tokens_at_;
};

}  // namespace chat
