// A member: one connection, of which one fiber reads and one writes.
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

  /// From the question for its name to its last line. Errors of the connection end it, quietly.
  /// Both of its fibers belong to that group.
  ringlet::task<> serve(ringlet::task_group& both);

  const std::string& name() const noexcept { return name_; }

  /// Puts a line into its queue; leaves it out when that is full. Never waits.
  void deliver(const line& what);
  /// "* " and that, for this member only.
  void tell(std::string_view text);
  /// It gets what is queued, then the reason, then the connection ends.
  void dismiss(std::string_view reason);
  /// A look by server::watch(). False when it need not be looked at any more.
  bool look_after(clock::time_point now);
  /// Its queue is full although its connection takes what it is given: so it is the server that is
  /// slow, and not the member.
  bool is_behind() const noexcept { return full_ && !slow_; }

 private:
  ringlet::task<> write_lines();
  /// Sends that line and what is queued behind it; false when the peer has gone.
  ringlet::task<bool> send_queued(line& first);
  /// The peer sees the end of the stream, and has some time to end its own.
  ringlet::task<> end_output();
  /// How long it may be silent. After its farewell that is not its reader's business any more.
  ringlet::time_limit patience(ringlet::time_limit introduced_by) const noexcept;
  ringlet::task<> keep_to_the_rate();
  bool is_held_up() const noexcept;
  ringlet::task<> until_its_room_flows();
  void take(std::string_view text);
  void tell_what_is_too_long();
  // What a line means; in commands.cpp.
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
  /// Leaves everything but the connection.
  void step_out();
  void measure_queue();
  void set_pace(bool full, bool slow);
  std::string_view shown(const line& what) const noexcept {
    return shows_time_ ? with_time(what) : without_time(what);
  }

  // In this order what each line for it touches lies together: most is not in the cache then.
  server& home_;
  ringlet::tcp_stream peer_;
  ringlet::queue<line, bytes_of_line> outbox_;
  std::uint64_t left_out_ = 0;   // lines that would have been too many
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
