// The two fibers of a member, and the queue between them.
// SPDX-License-Identifier: MIT
#include "member.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "room.hpp"
#include "server.hpp"
#include "text.hpp"

namespace chat {

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

// Bytes per send. More would only wait in the system instead of here.
constexpr std::size_t batch_bytes = 16 * 1024;
// How long a half-closed connection waits for the peer to close it.
constexpr auto linger = 1s;
// A connection that has accepted no bytes in this many consecutive checks is slow. Between two
// checks the system is polled at least once, no matter how busy the server is. Checks begin when a
// queue is half full, so most slow members are known before their queues are full. A flood can fill
// a queue earlier: then the room waits for a slow member, too, once for 0.3 s.
constexpr std::uint8_t unmoved_max = 2;

}  // namespace

member::member(server& home, tcp_stream peer)
    : home_(home),
      peer_(std::move(peer)),
      outbox_(2 * limits::queued_lines, 2 * limits::queued_bytes),
      tokens_(home.limit().burst),
      tokens_at_(ringlet::now()) {
  home_.add(*this);
}

member::~member() {
  step_out();
  home_.remove(*this);
}

// Most members are silent most of the time, and each of them then holds the frame of this
// coroutine. So it contains only what reading needs.
//
// After the goodbye it keeps reading and discards the bytes while the connection lasts: closing
// with unread bytes would reset the connection, and the last lines sent might be lost.
task<> member::serve(task_group& both) {
  both_ = &both;
  both.spawn(write_lines());
  reader lines(peer_, limits::line + 1);  // the reader counts the CR
  tell("welcome to ringlet chat: what is your nickname?");
  const time_limit introduced_by = ringlet::now() + home_.limit().introduction;
  for (;;) {
    const auto got = co_await as_result(lines.read_line(patience(introduced_by)));
    if (got && *got) {
      if (leaving_) continue;
      if (is_held_up()) co_await until_its_room_flows();
      take(got->value());
    } else if (!got && got.error() == errc::too_long) {
      tell_what_is_too_long();
    } else if (!got && got.error() == errc::timed_out) {
      dismiss(name_.empty() ? "you did not say who you are" : "you have been silent for too long");
      continue;
    } else {
      break;  // the connection is lost, or its stream has ended
    }
    co_await keep_to_the_rate();
  }
  input_ended_ = true;
  dismiss("");  // the writer ends when it has sent the queued lines
  if (output_ended_) both.cancel();
}

time_limit member::patience(time_limit introduced_by) const noexcept {
  if (leaving_) return forever;
  if (name_.empty()) return introduced_by;
  return home_.limit().idle == 0s ? forever : time_limit(home_.limit().idle);
}

bool member::is_held_up() const noexcept { return room_ != nullptr && !room_->flows(); }

// Members that resume first may send enough to make the rest wait again. By then this member may
// have been disconnected, and the room may be gone.
task<> member::until_its_room_flows() {
  while (is_held_up()) co_await room_->until_it_flows();
}

void member::take(std::string_view text) {
  if (leaving_) return;  // began to leave after the line arrived
  if (text.size() > limits::line) {
    tell_what_is_too_long();
  } else if (!is_utf8(text)) {
    tell("your line is not UTF-8, and was thrown away");
  } else if (has_controls(text)) {
    tell("your line has control characters, and was thrown away");
  } else if (name_.empty()) {
    introduce(text);
  } else {
    obey(text);
  }
}

void member::tell_what_is_too_long() {
  tell(fmt::format("a line may have {} bytes; yours was thrown away", limits::line));
}

// A token bucket: one token per line, refilled at the rate. A member without tokens waits, and so
// do its lines; none is lost.
task<> member::keep_to_the_rate() {
  const limits& allowed = home_.limit();
  const auto refill = [&] {
    const auto now = ringlet::now();
    const std::chrono::duration<double> since = now - std::exchange(tokens_at_, now);
    tokens_ = std::min(allowed.burst, tokens_ + since.count() * allowed.rate);
  };
  if (tokens_ < 2) refill();
  if (--tokens_ >= 0) co_return;
  tell(fmt::format("slow down: {} lines a second are allowed, the rest wait", allowed.rate));
  const double missing = std::max(allowed.burst / 2, -tokens_);
  co_await sleep(std::chrono::duration<double>(missing / allowed.rate));
  refill();
}

// State that only sending or the end needs lies in separate frames.
task<> member::write_lines() {
  bool is_there = true;
  while (is_there) {
    auto first = co_await as_result(outbox_.pop());
    if (!first) break;
    is_there = co_await send_queued(*first);
  }
  if (is_there) co_await end_output();
  both_->cancel();
}

task<bool> member::send_queued(line& first) {
  std::string batch;
  for (std::optional<line> next = std::move(first); next; next = outbox_.try_pop()) {
    std::string_view bytes = shown(*next);
    if (!outbox_.empty()) {
      batch = bytes;
      while (batch.size() < batch_bytes) {
        const std::optional<line> more = outbox_.try_pop();
        if (!more) break;
        batch += shown(*more);
      }
      bytes = batch;
      measure_queue();
    }
    write_end_ = peer_.bytes_written() + bytes.size();
    if (!co_await as_result(peer_.write_all(bytes))) co_return false;
  }
  co_return true;
}

task<> member::end_output() {
  try {
    peer_.shutdown_write();
  } catch (const std::system_error&) {
    co_return;  // the peer is gone
  }
  output_ended_ = true;
  if (!input_ended_) co_await sleep(linger);
}

void member::deliver(const line& what) {
  if ((left_out_ != 0 || !outbox_.try_push(what)) && !leaving_) ++left_out_;
  measure_queue();
}

void member::tell(std::string_view text) { deliver(make_line(fmt::format("* {}", text))); }

void member::dismiss(std::string_view reason) {
  if (std::exchange(leaving_, true)) return;
  step_out();
  if (!reason.empty()) {
    // Lines that no longer fit are lost, but the reason must get through.
    const line last = make_line(fmt::format("* goodbye: {}", reason));
    while (!outbox_.try_push(last) && outbox_.try_pop()) continue;
  }
  outbox_.close();
  accepted_at_ = ringlet::now();
  home_.keep_an_eye_on(*this);
}

// Once a line is left out, so are all further ones until the queue is no longer full. So there is
// one gap, and a notice at its place tells the member.
void member::measure_queue() {
  const auto is_above = [this](std::size_t lines, std::size_t bytes) {
    return outbox_.size() >= lines || outbox_.weight() >= bytes;
  };
  const bool is_half = is_above(limits::queued_lines / 2, limits::queued_bytes / 2);
  if (is_half && !filling_) {
    filling_ = true;
    unmoved_ = 0;
    written_ = peer_.bytes_written();
    home_.keep_an_eye_on(*this);
  }
  if (!full_ && is_above(limits::queued_lines, limits::queued_bytes)) {
    set_pace(true, unmoved_ == unmoved_max);
    accepted_at_ = ringlet::now();  // limits::patience begins
  } else if (!is_half && filling_) {
    filling_ = false;
    set_pace(false, false);
    if (left_out_ == 0 || leaving_) return;
    tell(fmt::format("{} lines were left out because you read too slowly",
                     std::exchange(left_out_, 0)));
  }
}

void member::set_pace(bool full, bool slow) {
  const bool was_behind = is_behind();
  full_ = full;
  slow_ = slow;
  if (room_ != nullptr && is_behind() != was_behind) room_->count_behind(was_behind ? -1 : 1);
}

bool member::look_after(clock::time_point now) {
  if (leaving_) {
    if (now - accepted_at_ >= limits::farewell) both_->cancel();
    return true;
  }
  const std::uint64_t written = peer_.bytes_written();
  if (written != std::exchange(written_, written) || written == write_end_) {
    unmoved_ = 0;
    accepted_at_ = now;
  } else if (unmoved_ < unmoved_max) {
    ++unmoved_;
  }
  if (full_ && unmoved_ == unmoved_max) set_pace(true, true);
  if (full_ && now - accepted_at_ >= limits::patience) dismiss("you read too slowly");
  return filling_ || leaving_;
}

}  // namespace chat
