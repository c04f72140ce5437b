// The limits of a connection.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/connection_watch.hpp>
#include <ringlet/detail/tcp_info.hpp>
#include <ringlet/fiber.hpp>

#include <algorithm>
#include <cstddef>

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

// When a limit has passed, the stream stays open a moment longer. If the thread was held up, bytes
// may have arrived in time, and their reader has not run yet.
constexpr steady_ns confirmed_after = 10'000'000;

constexpr steady_ns later(steady_ns from, steady_ns by) noexcept {
  return by >= never - from ? never : from + by;
}

}  // namespace

connection_watch::connection_watch(descriptor& watched, const watch_limits& limits,
                                   watch_verdict& verdict)
    : timer_entry(current_scheduler().timers()),
      scheduler_(current_scheduler()),
      watched_(&watched),
      limits_(limits),
      verdict_(verdict) {
  for (const direction which : {direction::read, direction::write}) {
    at(which).bytes = watched.count(which);
  }
  watched.set_watch(this);
}

connection_watch::~connection_watch() {
  if (watched_ != nullptr) watched_->set_watch(nullptr);
  scheduler_.timers().disarm(*this);
  scheduler_.timers().give_place();
}

steady_ns connection_watch::limit(direction which) const noexcept {
  if (which == direction::write) return limits_.write_stall;
  return has_read_ ? limits_.idle : limits_.first_byte;
}

void connection_watch::on_begin(direction which) noexcept {
  lane& begun = at(which);
  begun.is_waiting = true;
  begun.since = now() - begun.waited;
  arm_for(check_at(which));
}

// A connection whose handler sends is not idle: a long download, or news to a peer that only
// listens. But nothing is a first byte except what the peer sends.
void connection_watch::on_progress(direction which) noexcept {
  restart(at(which));
  if (which == direction::read) {
    has_read_ = true;
  } else if (has_read_) {
    restart(at(direction::read));
  }
}

void connection_watch::restart(lane& moved) const noexcept {
  moved.is_late = false;
  moved.waited = 0;
  moved.since = now();
}

// Between two calls the time stands still. So a handler that ends a call and begins another, as in
// a loop of select() with a queue, or of writes with short limits, gives its peer no more time; and
// one that is busy does not make its peer late.
void connection_watch::on_end(direction which, std::uint64_t bytes) noexcept {
  lane& ended = at(which);
  if (std::exchange(ended.bytes, bytes) != bytes) on_progress(which);
  ended.is_waiting = false;
  ended.waited = now() - ended.since;
}

void connection_watch::on_gone() noexcept {
  watched_ = nullptr;
  scheduler_.timers().disarm(*this);
}

// A write is examined four times within its limit: a large one ends late, although the peer takes
// bytes.
steady_ns connection_watch::check_at(direction which) noexcept {
  const steady_ns all = limit(which);
  const steady_ns end = later(at(which).since, all);
  if (which == direction::read || all == never) return end;
  return std::min(end, later(now(), std::max<steady_ns>(all / 4, 1)));
}

void connection_watch::arm_for(steady_ns deadline) noexcept {
  timer_queue& timers = scheduler_.timers();
  if (deadline >= timers.deadline_of(*this)) return;
  timers.disarm(*this);
  timers.arm(*this, deadline, &connection_watch::on_due);
}

void connection_watch::on_due(timer_entry& due) noexcept {
  auto& self = static_cast<connection_watch&>(due);
  for (const direction which : {direction::read, direction::write}) {
    if (self.watched_ == nullptr) return;
    if (self.at(which).is_waiting) self.arm_for(self.examine(which));
  }
}

// Returns when to examine that direction again.
steady_ns connection_watch::examine(direction which) noexcept {
  if (which == direction::write) note_acknowledged();
  lane& examined = at(which);
  if (later(examined.since, limit(which)) > now()) return check_at(which);
  if (!std::exchange(examined.is_late, true)) return now() + confirmed_after;
  expire(which);
  return never;
}

// What the peer has acknowledged has left this system: the write progresses, although it needs more
// room than that to end.
void connection_watch::note_acknowledged() noexcept {
  tcp_counters found;
  if (read_tcp_info(*watched_, found) < 0) return;
  if (std::exchange(acknowledged_, found.bytes_acknowledged) == found.bytes_acknowledged) return;
  on_progress(direction::write);
}

// What was written to a silent peer may still reach it. A peer that takes nothing would keep the
// bytes that it was sent in the memory of the system.
void connection_watch::expire(direction which) noexcept {
  if (which == direction::write) {
    verdict_ = watch_verdict::write_stall;
    watched_->abort();
  } else {
    verdict_ = has_read_ ? watch_verdict::idle : watch_verdict::first_byte;
    watched_->close(nullptr);
  }
}

}  // namespace ringlet
