// The yardstick: a chat server written directly on liburing that only distributes lines.
//
//     $ ./build/bench/chat_limit --port 9090
//     listening on 127.0.0.1:9090
//     $ printf 'ann\n/join lobby\nhello\n/quit\n' | nc 127.0.0.1 9090
//     * welcome to ringlet chat: what is your nickname?
//     * hello, ann: /join ROOM lets you talk
//     * you are in lobby with 0 others
//     [lobby] ann: hello
//     * goodbye
//
// It implements the part of the examples/chat_server protocol that chat_load.cpp needs: the
// nickname, /join, /quit, text. Each line is built once, then appended to the pending bytes of
// every member of the room. A member's pending bytes go out in one send as soon as its previous
// send has ended, so a member that falls behind costs fewer sends, not more. The ring, its flags
// and its buffers are those of echo_limit.cpp.
//
// Leaves out whatever adds no cost per delivered line: unique nicknames, history, all other
// commands. Also leaves out any limit on the pending bytes of a member that does not read, so use
// it only for measuring.
// SPDX-License-Identifier: MIT
#include <liburing.h>

#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "hand_ring.hpp"
#include "server_main.hpp"

namespace {

constexpr unsigned submission_entries = 1024;
constexpr unsigned completion_entries = 8192;
// At most this many completions are handled before pending bytes are sent.
constexpr unsigned completions_per_turn = 1024;

// Lines are short, and each turn parses what it received, so a few buffers suffice.
constexpr std::uint16_t buffer_count = 256;
constexpr std::size_t buffer_size = 4 * 1024;

constexpr std::size_t line_max = 4096;

// What a completion is for, in the low bits of user_data, below the member's address.
enum class kind : std::uint64_t { accept, accept_pause, receive, send };
constexpr std::uint64_t kind_mask = 3;

struct room;

struct alignas(8) member {
  explicit member(int descriptor) : fd(descriptor) {}

  int fd;
  bool receiving = false;  // A receive is in flight: its last completion has not arrived.
  bool sending = false;    // A send of `outgoing` is in flight.
  bool touched = false;    // The member is in server::touched_.
  bool ended = false;      // It sends no more: /quit, the end of its stream, or an error.
  bool broken = false;     // Nothing more can be sent to it.
  std::size_t sent = 0;    // Bytes of `outgoing` that have been sent.
  std::string outgoing;    // Belongs to the kernel while `sending`.
  std::string pending;     // Bytes to send after `outgoing`.
  room* in = nullptr;
  std::size_t place = 0;  // Its index in in->members.
  std::string nick;
  std::string prefix;  // The beginning of each of its lines: `[ROOM] NICK: `.
  std::string line;    // An incomplete line.
};

struct room {
  std::string name;
  std::vector<member*> members;
};

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > 32 || text[0] == '/' || text[0] == '*') return false;
  for (const char letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    if (code <= ' ' || code == 0x7f) return false;
  }
  return true;
}

class server {
 public:
  explicit server(int listener)
      : listener_(listener), ring_(submission_entries, completion_entries) {}

  [[noreturn]] void run() {
    ring_.arm_accept(listener_, name_of(nullptr, kind::accept));
    for (;;) {
      ring_.submit_and_wait();
      ring_.for_each_completion(completions_per_turn,
                                [this](const io_uring_cqe& completion) { handle(completion); });
      // Members that leave touch other members, which are appended to the list.
      for (std::size_t index = 0; index < touched_.size(); ++index) pump(*touched_[index]);
      touched_.clear();
    }
  }

 private:
  void handle(const io_uring_cqe& completion) {
    auto* who = reinterpret_cast<member*>(completion.user_data & ~kind_mask);
    switch (static_cast<kind>(completion.user_data & kind_mask)) {
      case kind::accept:
        if (completion.res >= 0) {
          say(*new member(completion.res), "* welcome to ringlet chat: what is your nickname?\n");
        }
        return ring_.accept_again(listener_, completion, name_of(nullptr, kind::accept_pause));
      case kind::accept_pause:
        return ring_.arm_accept(listener_, name_of(nullptr, kind::accept));
      case kind::receive:
        return on_receive(*who, completion.res, completion.flags);
      case kind::send:
        return on_send(*who, completion.res);
    }
  }

  static std::uint64_t name_of(member* who, kind what) {
    return reinterpret_cast<std::uint64_t>(who) | static_cast<std::uint64_t>(what);
  }

  // --- One member --------------------------------------------------------------------------------

  // Marks the member to be pumped at the end of the turn. Until then its pending bytes accumulate.
  void touch(member& who) {
    if (who.touched) return;
    who.touched = true;
    touched_.push_back(&who);
  }

  void say(member& who, std::string_view text) {
    if (who.broken) return;
    who.pending += text;
    touch(who);
  }

  // Starts the member's next send and receive, or closes it.
  void pump(member& who) {
    who.touched = false;
    if (who.ended) leave_room(who);
    if (!who.sending) start_send(who);
    if (!who.ended && !who.receiving) {
      who.receiving = true;
      ring_.arm_receive(who.fd, name_of(&who, kind::receive));
    }
    if (!who.ended || who.sending) return;
    // Everything has been sent. Shutting the socket down ends a receive that is still in flight.
    if (who.receiving) {
      ::shutdown(who.fd, SHUT_RDWR);
      return;
    }
    ::close(who.fd);
    delete &who;
  }

  void start_send(member& who) {
    if (who.sent == who.outgoing.size()) {
      if (who.pending.empty()) return;
      who.outgoing.swap(who.pending);
      who.pending.clear();
      who.sent = 0;
    }
    who.sending = true;
    ::io_uring_prep_send(ring_.queue(name_of(&who, kind::send)), who.fd,
                         who.outgoing.data() + who.sent, who.outgoing.size() - who.sent,
                         MSG_NOSIGNAL);
  }

  void on_send(member& who, int result) {
    who.sending = false;
    if (result >= 0) {
      who.sent += static_cast<std::size_t>(result);
    } else if (!ring_.is_passing(-result)) {
      who.broken = who.ended = true;
      who.pending.clear();
      who.sent = who.outgoing.size();
    }
    if (who.ended || who.sent < who.outgoing.size() || !who.pending.empty()) touch(who);
  }

  void on_receive(member& who, int result, unsigned flags) {
    if ((flags & IORING_CQE_F_MORE) == 0) who.receiving = false;
    if (ring_.has_buffer(flags)) {
      const std::uint16_t index = ring_.buffer_index(flags);
      if (result > 0) take(who, {ring_.buffer(index), static_cast<std::size_t>(result)});
      ring_.recycle(index);
    }
    if (result == 0 || (result < 0 && !ring_.is_passing(-result))) who.ended = true;
    if (!who.receiving) touch(who);
  }

  // --- Lines from a member -----------------------------------------------------------------------

  void take(member& who, std::string_view data) {
    while (!data.empty() && !who.ended) {
      const std::size_t end = data.find('\n');
      if (end == data.npos || !who.line.empty()) who.line += data.substr(0, end);
      if (who.line.size() > line_max) return end_with(who, "* goodbye: the line is too long\n");
      if (end == data.npos) return;
      if (who.line.empty()) {
        on_line(who, data.substr(0, end));
      } else {
        on_line(who, who.line);
        who.line.clear();
      }
      data.remove_prefix(end + 1);
    }
  }

  void on_line(member& who, std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (who.nick.empty()) return on_nick(who, line);
    if (line.starts_with("/join ")) return on_join(who, line.substr(6));
    if (line == "/quit") return end_with(who, "* goodbye\n");
    if (line.starts_with("//")) line.remove_prefix(1);
    if (who.in == nullptr) return say(who, "* you are in no room: /join ROOM\n");
    text_ = who.prefix;
    text_ += line;
    text_ += '\n';
    tell(*who.in, text_);
  }

  void end_with(member& who, std::string_view text) {
    who.ended = true;
    say(who, text);
  }

  void on_nick(member& who, std::string_view nick) {
    if (!is_name(nick)) return say(who, "* invalid nickname: 1 to 32 letters without blanks\n");
    who.nick = nick;
    say(who, "* hello, " + who.nick + ": /join ROOM lets you talk\n");
  }

  void on_join(member& who, std::string_view name) {
    if (!is_name(name)) return say(who, "* invalid room name\n");
    leave_room(who);
    std::unique_ptr<room>& entered = rooms_[std::string(name)];
    if (entered == nullptr) entered = std::make_unique<room>(room{std::string(name), {}});
    tell(*entered, "* " + who.nick + " has joined " + entered->name + "\n");
    say(who, "* you are in " + entered->name + " with " + std::to_string(entered->members.size()) +
                 " others\n");
    who.in = entered.get();
    who.place = entered->members.size();
    who.prefix = "[" + entered->name + "] " + who.nick + ": ";
    entered->members.push_back(&who);
  }

  void leave_room(member& who) {
    if (who.in == nullptr) return;
    room& left = *std::exchange(who.in, nullptr);
    left.members[who.place] = left.members.back();
    left.members[who.place]->place = who.place;
    left.members.pop_back();
    tell(left, "* " + who.nick + " has left " + left.name + "\n");
    if (left.members.empty()) rooms_.erase(std::string(left.name));
  }

  void tell(const room& where, std::string_view text) {
    for (member* each : where.members) say(*each, text);
  }

  int listener_;
  bench::hand_ring<buffer_count, buffer_size> ring_;
  std::unordered_map<std::string, std::unique_ptr<room>> rooms_;
  std::vector<member*> touched_;
  std::string text_;  // The line being distributed; kept to reuse its memory.
};

void serve(int listener) { std::make_unique<server>(listener)->run(); }

}  // namespace

int main(int argc, char** argv) {
  return bench::server_main(argc, argv, "Chat server: hand-written liburing, the limit", serve);
}
