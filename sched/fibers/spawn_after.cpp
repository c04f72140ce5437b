// The ticks of spawn_every().
// SPDX-License-Identifier: MIT
#include <ringlet/spawn_after.hpp>

namespace ringlet {
using namespace extend;

steady_ns detail::next_tick(steady_ns tick, steady_ns period) noexcept {
  const steady_ns now = current_scheduler().now();
  const steady_ns next = tick + period;
  if (now <= next) return next;
  const steady_ns missed = (now - next + period - 1) / period;
  return next + missed * period;
}

steady_ns detail::checked_period(const time_limit& period) {
  const steady_ns length = period.resolve(0);
  RINGLET_ASSERT(length > 0, "spawn_every() needs a period above zero");
  return length;
}

}  // namespace ringlet
