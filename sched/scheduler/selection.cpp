// Watches several waits until the first of them is over.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/selection.hpp>

#include <fmt/format.h>

#include <iterator>
#include <limits>
#include <utility>

namespace ringlet::extend {

namespace {

// The select()s that have ended, and have not yet let other waits go ahead.
thread_local constinit selection* first_ended = nullptr;
thread_local constinit selection* last_ended = nullptr;
thread_local constinit bool admissions_held = false;

}  // namespace

const wait_type selection::type = make_type<selection>("select");

bool selection::begin(std::span<const candidate> all, frame_record& at) {
  if (!enter(at)) return continue_or_yield(at);
  all_ = all;
  RINGLET_ASSERT(all_.size() <= std::numeric_limits<std::uint32_t>::max(),
                 "a select() was given more than 4294967295 waits");
  for (const candidate& one : all_) {
    RINGLET_ASSERT(one.wait->fiber_ == nullptr,
                   "a wait was awaited twice, the second time in a select(): make a new one");
    one.wait->fiber_ = fiber_;
  }
  for (std::size_t i = 0; i < all_.size(); ++i) {
    if (!all_[i].how->try_now(*all_[i].wait)) continue;
    winner_ = i;
    return continue_or_yield(at);
  }
  if (fiber_->interrupted()) return throw_at(at);  // by a function of the program that they called

  for (const candidate& one : all_) is_external_ = is_external_ || one.how->is_external;
  if (is_external_) {
    suspend_external(type, at);
  } else {
    suspend(type, at);
  }
  arm_nearest_limit();
  // Watching may end other select()s, which make way for a wait that is not in its line yet.
  const admission_hold all_watch_first;
  std::uint32_t place = 0;
  for (const candidate& one : all_) {
    one.wait->of_ = this;
    one.wait->place_ = place++;
    one.how->watch(*one.wait);
    if (winner_ != none) break;
  }
  return true;
}

// Reads the clock once, so equal limits pass at the same time and the first of them counts.
void selection::arm_nearest_limit() noexcept {
  steady_ns now = never;
  steady_ns nearest = never;
  if (!limit_.is_forever()) {
    now = fiber_->scheduler().now();
    nearest = limit_.resolve(now);
  }
  for (std::size_t i = 0; i < all_.size(); ++i) {
    const time_limit& timeout = all_[i].wait->limit_;
    if (timeout.is_forever()) continue;
    if (now == never) now = fiber_->scheduler().now();
    const steady_ns deadline = timeout.resolve(now);
    if (deadline >= nearest) continue;
    nearest = deadline;
    first_due_ = i;
  }
  if (nearest == never) return;
  limit_ = time_limit::at(nearest);
  fiber_->arm_limit(nearest);
}

void selection::on_concluded(std::size_t place) noexcept {
  if (lingering_ != 0) {  // another wait has won
    if (--lingering_ == 0) finish();
    return;
  }
  end(place);
}

void selection::end(std::size_t winner) noexcept {
  winner_ = winner;
  // Unwatches all of them before any waiter is admitted, which could be another one of these.
  for (const candidate& one : all_) one.how->unwatch(*one.wait);
  for (const candidate& one : all_) {
    if (one.how->lingers != nullptr) lingering_ += one.how->lingers(*one.wait);
  }
  if (lingering_ == 0) finish();
  pass_on();
}

// An admitted wait may be part of another select(), which admits further waits, and so on. The
// first select() does this for all, so the stack does not grow with the chain. (All of them stay
// suspended or queued during this.)
void selection::pass_on() noexcept {
  (last_ended != nullptr ? last_ended->next_ : first_ended) = this;
  last_ended = this;
  if (!admissions_held) pass_on_all();
}

void selection::pass_on_all() noexcept {
  admissions_held = true;
  for (; first_ended != nullptr; first_ended = first_ended->next_) {
    for (const candidate& one : first_ended->all_) one.how->pass_on(*one.wait);
  }
  last_ended = nullptr;
  admissions_held = false;
}

admission_hold::admission_hold() noexcept : is_first_(!std::exchange(admissions_held, true)) {}

admission_hold::~admission_hold() {
  if (is_first_) selection::pass_on_all();
}

void selection::finish() noexcept {
  if (is_external_) {
    wake_external();
  } else {
    wake();
  }
}

void selection::on_cancel(cancel_reason reason) noexcept {
  // The select() has ended; the next wait reports the interruption.
  if (lingering_ != 0) return;
  // Closing concerns one of the waits, which is notified itself.
  if (reason == cancel_reason::closed) return;
  if (reason == cancel_reason::interrupted || first_due_ == none) {
    reason_ = reason;
    end(none);
  } else {
    all_[first_due_].wait->reason_ = reason;
    end(first_due_);
  }
}

void selection::describe(std::string& out) const {
  const char* before = "of ";
  std::size_t left = all_.size();
  if (left > described_max) {
    fmt::format_to(std::back_inserter(out), "of {} waits: ", left);
    before = "";
  }
  std::size_t named = 0;
  for (const candidate& one : all_) {
    if (named == described_max) {
      fmt::format_to(std::back_inserter(out), " and {} more", left);
      return;
    }
    --left;
    // Once this wait has ended, the objects of the other waits may be gone.
    if (lingering_ != 0 && (one.how->lingers == nullptr || !one.how->lingers(*one.wait))) continue;
    out += before;
    out += one.how->type->name;
    if (one.how->type->describe != nullptr) {
      out += " ";
      one.how->type->describe(static_cast<const wait_base*>(one.wait), out);
    }
    before = ", ";
    ++named;
  }
}

}  // namespace ringlet::extend
