// The level of the bucket, and the line of fibers in front of it.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/wake_lists.hpp>
#include <ringlet/rate_limiter.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>

namespace ringlet {
using namespace extend;

namespace {

void check_above_zero(const char* name, std::int64_t value) {
  if (value > 0) return;
  throw std::invalid_argument(
      fmt::format("the {} of a rate_limiter is {}: it must be above zero", name, value));
}

}  // namespace

const wait_type rate_limiter::permit_wait::type = make_type<permit_wait>("acquire");

rate_limiter::due_alarm::due_alarm(rate_limiter& of)
    : alarm([](alarm& due) noexcept { static_cast<due_alarm&>(due).owner->serve(); },
            "a rate_limiter was made outside of run(): it uses the clock of its scheduler, so make "
            "it in a fiber",
            "a rate_limiter was used on a thread that is not that of the scheduler it was made on, "
            "or after the run of that had ended"),
      owner(&of) {}

rate_limiter::rate_limiter(const rate_options& options)
    : rate_(options.rate),
      burst_(options.burst),
      per_(static_cast<std::uint64_t>(options.per.count())),
      level_(units{burst_} * per_),
      filled_at_(0),
      alarm_(*this) {
  check_above_zero("rate", options.rate == 0 ? 0 : 1);
  check_above_zero("burst", options.burst == 0 ? 0 : 1);
  check_above_zero("time in nanoseconds", options.per.count());
  filled_at_ = alarm_.scheduler().now();
}

rate_limiter::~rate_limiter() {
  detail::drop_waits_left_behind(waiters_);
  if (waiters_.empty()) return;
  alarm_.stop();
  list_wait::end_orphans(waiters_,
                         "a rate_limiter was destroyed while a fiber waited for a permit: it must "
                         "outlive the fibers that use it, so declare it outside of the group that "
                         "they are in, or pass it to with_group() as an argument");
}

void rate_limiter::check_count(std::uint64_t count) const {
  if (count >= 1 && count <= burst_) return;
  throw std::invalid_argument(
      fmt::format("a rate_limiter was asked for {} permits at once: the number must be from 1 to "
                  "{}, its burst",
                  count, burst_));
}

void rate_limiter::refill() noexcept {
  const steady_ns now = alarm_.scheduler().now();
  const auto passed = static_cast<std::uint64_t>(now - filled_at_);
  filled_at_ = now;
  // While fibers wait, what comes late is kept, or a rate of many permits would suffer from each
  // late timer.
  const units full = units{burst_} * per_;
  const units most = waiters_.empty() ? full : full + full;
  level_ = std::min(level_, most);
  level_ += std::min(units{passed} * rate_, most - level_);
}

bool rate_limiter::take(std::uint64_t count) noexcept {
  const units worth = units{count} * per_;
  if (level_ < worth) return false;
  level_ -= worth;
  return true;
}

bool rate_limiter::try_acquire(std::uint64_t count) {
  check_count(count);
  if (!waiters_.empty()) return false;
  refill();
  return take(count);
}

std::uint64_t rate_limiter::available() noexcept {
  refill();
  return static_cast<std::uint64_t>(level_ / per_);
}

// Gives permits to those in front, and waits for what the next one needs. After as many as a turn
// may wake, the rest come with the next turn.
void rate_limiter::serve() noexcept {
  refill();
  for (std::size_t left = wake_lists::at_once_max; !waiters_.empty(); --left) {
    if (left == 0) return alarm_.set(filled_at_);
    auto& first = static_cast<permit_wait&>(waiters_.front());
    if (!take(first.count_)) {
      const units missing = units{first.count_} * per_ - level_;
      const units wait = (missing + rate_ - 1) / rate_;
      const bool is_finite = wait < static_cast<units>(never - filled_at_);
      return alarm_.set(is_finite ? filled_at_ + static_cast<steady_ns>(wait) : never);
    }
    remove(first);
    first.complete();
  }
  alarm_.stop();
}

void rate_limiter::remove(permit_wait& gone) noexcept {
  waiters_.remove(gone);
  --waiting_;
}

bool rate_limiter::permit_wait::try_now() noexcept {
  on_->refill();
  return on_->waiters_.empty() && on_->take(count_);
}

void rate_limiter::permit_wait::watch() noexcept {
  on_->waiters_.push_back(*this);
  on_->waiting_peak_ = std::max(on_->waiting_peak_, ++on_->waiting_);
  if (on_->waiting_ == 1) on_->serve();
}

void rate_limiter::permit_wait::on_cancel(cancel_reason reason) noexcept {
  if (reason == cancel_reason::timed_out) {
    on_->serve();  // success wins: its permits may have come at the same moment
    if (!linked()) return;
  }
  reason_ = reason;
  unwatch();
  complete();
  pass_on();
}

void rate_limiter::permit_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out),
                 "{} of {} with {} permits of at most {}, {} waiting (at most {})", count_,
                 static_cast<const void*>(on_), static_cast<std::uint64_t>(on_->level_ / on_->per_),
                 on_->burst_, on_->waiting_, on_->waiting_peak_);
}

}  // namespace ringlet
