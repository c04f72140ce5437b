// The load generator for chat servers: members that talk at a rate, and check every line they get.
//
//     $ build/bench/chat_limit --port 9090 &
//     $ build/bench/chat_load --port 9090 --members 500 --rate 0.2 --pid $!
//     500 members in 1 room, text of 64 bytes, 3.00 s
//       100.0 messages/s sent of 100.0 offered, 49983 deliveries/s
//       ...
//
// The load is open: each member has a schedule, all schedules are staggered evenly, and latency
// counts from the time at which a message was due. So a server that delays its members cannot hide
// the delay: their messages go out late or not at all, and the report shows messages offered and
// messages sent. A run has four phases: all members enter their rooms; warm-up and the measured
// window; lines in flight may still arrive; all members leave. The exit status is 1 if any line was
// lost, duplicated, out of order or not sent by a member, or if a member was dropped.
//
// While lines are in flight, this program does not sleep. On one machine the server's core would
// have to wake it for each line: a tenth to a quarter of the server's time for a line, which says
// nothing about the server.
//
// A ringlet program with one thread and two fibers per member: one reads, one writes.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "chat_load_options.hpp"
#include "chat_load_report.hpp"
#include "chat_member.hpp"
#include "cpu_clock.hpp"
#include "descriptors_needed.hpp"

using namespace ringlet;
using namespace std::chrono_literals;
using bench::chat_campaign;
using bench::chat_member;
using bench::chat_role;
using bench::chat_room;

namespace {

// At most this many members connect at the same time: below the backlog of any sensible server.
constexpr std::size_t connecting_max = 256;
// Missing lines count as lost after this long without any arrival, and after this long in total.
constexpr std::chrono::seconds patience(5);
constexpr std::chrono::seconds patience_in_all(30);
// Each new member is announced to its room, so rooms of idle members must be small.
constexpr std::size_t idle_in_room = 100;
// Members that never read get a small receive buffer.
constexpr int silent_receive_buffer = 4 * 1024;

// --- Members and rooms ---------------------------------------------------------------------------

// Room and member numbers have 20 bits; the bits above identify this run.
std::uint32_t numbering_base() { return static_cast<std::uint32_t>(::getpid() & 0xfff) << 20; }

chat_room& add_room(chat_campaign& all) {
  const auto number = static_cast<std::uint32_t>(numbering_base() + all.rooms.size());
  return all.rooms.emplace_back(
      chat_room{number, bench::chat_line(number, all.options.size), 0, {}, {}});
}

void make_members(chat_campaign& all, std::deque<chat_member>& members) {
  const auto& options = all.options;
  const double interval_s = static_cast<double>(options.members) / options.messages_per_s();
  all.interval_ns = static_cast<std::uint64_t>(interval_s * 1e9);
  std::uint32_t number = numbering_base();
  for (std::size_t index = 0; index < options.rooms; ++index) {
    chat_room& room = add_room(all);
    room.first_sender = number;
    const std::size_t size = (options.members - index + options.rooms - 1) / options.rooms;
    for (std::size_t place = 0; place < size; ++place) {
      // Round robin over the rooms.
      const double turn = static_cast<double>(place * options.rooms + index);
      const double phase_s = interval_s * turn / static_cast<double>(options.members);
      room.phase_ns.push_back(static_cast<std::uint64_t>(phase_s * 1e9));
    }
    room.sent.resize(size);
    for (std::size_t place = 0; place < size; ++place) {
      members.emplace_back(all, room, chat_role::talker, number++, place);
    }
  }
  for (std::size_t index = 0; index < options.silent; ++index) {
    members.emplace_back(all, all.rooms[index % options.rooms], chat_role::silent, number++);
  }
  for (std::size_t index = 0; index < options.idle; ++index) {
    if (index % idle_in_room == 0) add_room(all);
    members.emplace_back(all, all.rooms.back(), chat_role::idle, number++);
  }
}

bool any_alive(const std::deque<chat_member>& members) {
  return std::any_of(members.begin(), members.end(), [](const chat_member& who) {
    return who.alive && who.role == chat_role::talker;
  });
}

// --- Entering ------------------------------------------------------------------------------------

task<> listen(chat_member& who) {
  try {
    while (const buffer data = co_await who.stream.receive()) who.take(data);
    who.drop("the server closed the connection");
  } catch (const std::system_error& error) {
    who.drop(error.what());
  }
}

// The same for a member that stops reading once it is in its room. It uses read_some() because
// receive() would keep reading ahead.
task<> listen_until_inside(chat_member& who) {
  std::vector<std::byte> memory(silent_receive_buffer);
  try {
    while (!who.joined) {
      const std::size_t count = co_await who.stream.read_some(memory);
      if (count == 0) co_return who.drop("the server closed the connection");
      who.take({reinterpret_cast<const char*>(memory.data()), count});
    }
  } catch (const std::system_error& error) {
    who.drop(error.what());
  }
}

task<> enter(chat_member& who, address server, std::vector<fiber<>>& listeners) {
  try {
    who.stream = co_await tcp_stream::connect(server, patience);
    const bool is_silent = who.role == chat_role::silent;
    if (is_silent) who.stream.set_receive_buffer(silent_receive_buffer);
    listeners.push_back(spawn(is_silent ? listen_until_inside(who) : listen(who)));
    const std::string words =
        bench::name_of('m', who.number) + "\n/join " + bench::name_of('r', who.room.number) + "\n";
    co_await who.stream.write_all(words, patience);
  } catch (const std::system_error& error) {
    who.drop(error.what());
  }
}

// Returns whether all members are in their rooms.
task<bool> enter_all(chat_campaign& all, std::deque<chat_member>& members,
                     std::vector<fiber<>>& listeners) {
  const auto server = address::parse(all.options.host, all.options.port);
  for (std::size_t made = 0; made < members.size();) {
    std::vector<fiber<>> batch;
    const std::size_t end = std::min(made + connecting_max, members.size());
    for (; made < end; ++made) batch.push_back(spawn(enter(members[made], server, listeners)));
    co_await joinall(batch);
    if (!all.report.errors.empty()) break;  // The rest would hardly succeed.
  }
  std::size_t joined_before = 0;
  auto quiet_since = bench::chat_clock::now();
  while (all.joined < members.size() && all.report.errors.empty()) {
    co_await sleep(5ms);
    const auto now = bench::chat_clock::now();
    if (std::exchange(joined_before, all.joined) != all.joined) quiet_since = now;
    if (now - quiet_since < patience) continue;
    for (const chat_member& who : members) {
      if (!who.joined) ++all.report.errors["not let in within 5 s" + who.last_words()];
    }
  }
  co_return all.report.errors.empty();
}

// --- Talking -------------------------------------------------------------------------------------

void count_sent(chat_campaign& all, std::uint64_t due_ns) {
  if (!all.measuring) return;
  const std::uint64_t late_ns = all.now_ns() - due_ns;
  ++all.report.sent;
  all.report.late += late_ns > all.report.late_ns;
  all.report.latest_ns = std::max(all.report.latest_ns, late_ns);
}

task<> talk(chat_campaign& all, chat_member& who) {
  std::string text;
  try {
    for (std::uint32_t sequence = 0;; ++sequence) {
      const std::uint64_t due_ns = all.due_ns(who.room, who.place, sequence);
      if (all.now_ns() < due_ns) co_await sleep_until(all.start + std::chrono::nanoseconds(due_ns));
      if (all.stopping || !who.alive) co_return;
      who.room.line.write(text, {who.number, sequence}, due_ns);
      ++who.room.sent[who.place];
      who.writing = true;
      all.await(who.room.sent.size());
      co_await who.stream.write_all(text);
      who.writing = false;
      count_sent(all, due_ns);
    }
  } catch (const std::system_error& error) {
    who.drop(error.what());
  }
}

// Keeps this program awake while lines are in flight, for at most 20 ms at a time: lost lines never
// arrive. If lines are always in flight, there is no time to sleep anyway.
task<> stay_awake(chat_campaign& all) {
  constexpr std::uint64_t longest_ns = 20'000'000;
  for (;;) {
    co_await all.is_under_way.wait();
    const std::uint64_t begin_ns = all.now_ns();
    const auto is_awaited = [&] { return all.report.tally.delivered < all.awaited; };
    while (is_awaited() && all.now_ns() - begin_ns < longest_ns) co_await sleep(0s);
    all.is_under_way.reset();
  }
}

// Waits until `end_ns`, or until no member is left.
task<> let_pass(chat_campaign& all, const std::deque<chat_member>& members, std::uint64_t end_ns,
                const char* what) {
  const bool shown = ::isatty(STDERR_FILENO) == 1;
  while (all.now_ns() < end_ns && any_alive(members)) {
    if (shown) {
      std::fprintf(stderr, "\r\033[K%s: %.0f s left, %llu deliveries", what,
                   static_cast<double>(end_ns - all.now_ns()) / 1e9,
                   static_cast<unsigned long long>(all.report.tally.delivered));
    }
    const std::uint64_t next_ns = std::min(end_ns, all.now_ns() + 100'000'000);
    co_await sleep_until(all.start + std::chrono::nanoseconds(next_ns));
  }
  if (shown) std::fprintf(stderr, "\r\033[K");
}

task<> measure(chat_campaign& all, const std::deque<chat_member>& members,
               const std::optional<bench::cpu_clock>& server) {
  auto& report = all.report;
  co_await let_pass(all, members, all.window_begin_ns, "warming up");
  const bench::cpu_clock own;
  try {
    const std::uint64_t server_before = server ? server->now_ns() : 0;
    const std::uint64_t own_before = own.now_ns();
    const std::uint64_t delivered_before = report.tally.delivered;
    const std::uint64_t begin_ns = all.now_ns();
    all.measuring = true;
    co_await let_pass(all, members, all.window_begin_ns + all.window_size_ns, "measuring");
    all.measuring = false;
    report.duration_s = static_cast<double>(all.now_ns() - begin_ns) / 1e9;
    report.deliveries = report.tally.delivered - delivered_before;
    report.load_cpu_ns = own.now_ns() - own_before;
    if (server) report.server_cpu_ns = server->now_ns() - server_before;
  } catch (const std::system_error& error) {
    ++report.errors[error.what()];
  }
}

// --- Lines in flight -----------------------------------------------------------------------------

bool has_all(const chat_member& who) {
  if (!who.alive || who.role != chat_role::talker) return true;
  if (who.check.has_gaps()) return false;
  for (std::size_t sender = 0; sender < who.room.sent.size(); ++sender) {
    if (!who.check.has_all(sender, who.room.sent[sender])) return false;
  }
  return true;
}

task<> let_arrive(chat_campaign& all, const std::deque<chat_member>& members) {
  const auto begin = bench::chat_clock::now();
  auto quiet_since = begin;
  std::uint64_t delivered_before = 0;
  while (!std::all_of(members.begin(), members.end(), has_all)) {
    const std::uint64_t delivered = all.report.tally.delivered;
    const auto now = bench::chat_clock::now();
    if (std::exchange(delivered_before, delivered) != delivered) quiet_since = now;
    if (now - quiet_since > patience || now - begin > patience_in_all) break;
    co_await sleep(10ms);
  }
}

// A dropped member loses nothing, and the last lines from it are not expected by the rest.
void count_lost(chat_campaign& all, const std::deque<chat_member>& members) {
  for (const chat_member& who : members) {
    if (!who.alive || who.role != chat_role::talker) continue;
    all.report.tally.lost += who.check.in_gaps();
    for (std::size_t sender = 0; sender < who.room.sent.size(); ++sender) {
      all.report.tally.lost += who.check.missing_at_end(sender, who.room.sent[sender]);
    }
  }
}

// --- Leaving -------------------------------------------------------------------------------------

// Reads what a silent member left unread, until nothing more arrives. If that is the end of the
// stream, the server has dropped the member. The server's system may hold megabytes for it.
task<> catch_up(chat_member& who) {
  const auto end = bench::chat_clock::now() + patience;
  std::vector<std::byte> memory(64 * 1024);
  try {
    who.stream.set_receive_buffer(4 * 1024 * 1024);
    while (bench::chat_clock::now() < end) {
      if (co_await who.stream.read_some(memory, 500ms) > 0) continue;
      co_return who.drop("the server closed the connection");
    }
  } catch (const timed_out&) {
    co_return;
  } catch (const std::system_error& error) {
    who.drop(error.what());
  }
}

// The server must have released the names before this program ends, so that another can start.
task<> leave(chat_member& who) {
  try {
    const bool can_say = who.joined && !who.writing;
    if (can_say) co_await who.stream.write_all("/quit\n", patience);
    if (!can_say || who.role == chat_role::silent) co_await who.stream.close();
  } catch (const std::system_error&) {
    who.drop("");
  }
}

task<> leave_all(chat_campaign& all, std::deque<chat_member>& members,
                 std::vector<fiber<>>& listeners) {
  std::vector<fiber<>> steps;
  for (chat_member& who : members) {
    if (who.alive && who.joined && who.role == chat_role::silent) {
      steps.push_back(spawn(catch_up(who)));
    }
  }
  co_await joinall(steps);
  steps.clear();
  all.ending = true;
  for (chat_member& who : members) {
    if (who.alive && who.stream) steps.push_back(spawn(leave(who)));
  }
  co_await joinall(steps);
  if (!co_await joinall(listeners, patience)) {
    ++all.report.errors["the server did not close all connections within 5 s of /quit"];
  }
}

// --- A run ---------------------------------------------------------------------------------------

task<> talk_all(chat_campaign& all, std::deque<chat_member>& members,
                const std::optional<bench::cpu_clock>& server) {
  constexpr std::uint64_t head_start_ns = 20'000'000;
  all.start = bench::chat_clock::now() + std::chrono::nanoseconds(head_start_ns);
  all.window_begin_ns = static_cast<std::uint64_t>(all.options.warmup_s * 1e9);
  all.window_size_ns = static_cast<std::uint64_t>(all.options.duration_s * 1e9);
  co_await sleep_until(all.start);
  std::vector<fiber<>> talkers;
  talkers.push_back(spawn(stay_awake(all)));
  for (chat_member& who : members) {
    if (who.role == chat_role::talker) talkers.push_back(spawn(talk(all, who)));
  }
  co_await measure(all, members, server);
  all.stopping = true;
  co_await let_arrive(all, members);
  count_lost(all, members);
  co_await killall(talkers);
}

task<int> load(chat_campaign& all) {
  std::optional<bench::cpu_clock> server;
  if (all.options.server_pid != 0) server.emplace(all.options.server_pid);
  std::deque<chat_member> members;
  std::vector<fiber<>> listeners;
  make_members(all, members);
  if (co_await enter_all(all, members, listeners)) co_await talk_all(all, members, server);
  co_await leave_all(all, members, listeners);
  bench::write_report(all.options, all.report);
  co_return all.report.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  bench::chat_load_options options;
  if (const auto status = bench::read_command_line(argc, argv, options)) return *status;
  if (options.rooms > options.members) {
    std::fprintf(stderr, "%zu members cannot fill %zu rooms: ask for fewer rooms\n",
                 options.members, options.rooms);
    return 1;
  }
  bench::require_descriptors(options.connections());
  chat_campaign all(std::move(options));
  return run_main(load(all));
}
