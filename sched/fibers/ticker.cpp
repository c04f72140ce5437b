// The grid of a ticker. Its waits end by their limits, as those of sleep() do.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/ticker.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>

namespace ringlet {
using namespace extend;

namespace {

steady_ns later(steady_ns from, steady_ns by) noexcept {
  return by >= never - from ? never : from + by;
}

}  // namespace

const wait_type ticker::tick_wait::type = make_type<tick_wait>("tick");

ticker::ticker(time_limit period, missed_ticks policy)
    : period_(period.resolve(0)), policy_(policy) {
  if (period_ <= 0) {
    throw std::invalid_argument("the period of a ticker is 0 ns or less: it must be above zero");
  }
  scheduler& here = current_scheduler(
      "a ticker was made outside of run(): it uses the clock of its scheduler, so make it in a "
      "fiber");
  next_ = later(here.now(), period_);
}

void ticker::check_unused() const noexcept {
  RINGLET_ASSERT(!is_awaited_,
                 "a ticker was used while a fiber waited in its next(): one fiber uses a ticker, "
                 "which must outlive the wait");
}

void ticker::reset() noexcept {
  check_unused();
  next_ = later(current_scheduler().now(), period_);
}

// Precondition: the next tick is due.
std::uint64_t ticker::take(steady_ns now) noexcept {
  const steady_ns missed = policy_ == missed_ticks::burst ? 0 : (now - next_) / period_;
  if (policy_ == missed_ticks::delay) {
    next_ = later(now, period_);
  } else {
    next_ = later(next_ + missed * period_, period_);
  }
  return static_cast<std::uint64_t>(missed) + 1;
}

bool ticker::tick_wait::try_now() noexcept {
  on_->check_unused();
  const steady_ns now = fiber_->scheduler().now();
  limit_ = time_limit::at(std::min(on_->next_, timeout_.resolve(now)));
  if (now < on_->next_) return false;
  passed_ = on_->take(now);
  return true;
}

// The ticks are counted when the fiber runs, which may be later than it was woken.
result<std::uint64_t> ticker::tick_wait::take() {
  rethrow_interruption();
  if (passed_ != 0) return passed_;
  const steady_ns now = fiber_->scheduler().now();
  if (now >= on_->next_) return on_->take(now);
  return cancellation_error();
}

std::uint64_t ticker::tick_wait::await_resume() { return detail::value_or_throw(take(), "tick"); }

void ticker::tick_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "of a ticker {} every {} ns",
                 static_cast<const void*>(on_), on_->period_);
}

}  // namespace ringlet
