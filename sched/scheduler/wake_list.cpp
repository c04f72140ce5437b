// Wakes the waits that one call has ended, a slice each turn.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/wake_list.hpp>

#include <cstddef>

namespace ringlet::extend {

wake_list::~wake_list() {
  unlink();
  detail::drop_waits_left_behind(left_);
  while (!left_.empty()) wake_first();
}

// The first slice is woken here: most lists are shorter. Not if earlier waits are left, which come
// first.
void wake_list::take(wait_list& waits) noexcept {
  ++round_;
  if (waits.empty()) return;
  const bool are_first = left_.empty();
  left_.splice_back(waits);
  if (are_first) wake_some(wake_lists::at_once_max);
  if (!left_.empty() && !linked()) current_scheduler().wakes().add(*this);
}

// Without a reason of the list, a wait keeps the one that it has.
void wake_list::wake_first() noexcept {
  list_wait& first = left_.front();
  if (reason_ == cancel_reason::none) {
    first.complete();
  } else {
    first.on_cancel(reason_);
  }
}

std::size_t wake_list::wake_some(std::size_t most) noexcept {
  std::size_t count = 0;
  for (; count != most && !left_.empty(); ++count) wake_first();
  return count;
}

std::size_t wake_list::wake_slice(sliced_list& of, std::size_t most) noexcept {
  wake_list& self = static_cast<wake_list&>(of);
  const std::size_t count = self.wake_some(most);
  if (self.left_.empty()) self.unlink();
  return count;
}

void wake_lists::wake_some() noexcept {
  std::size_t left = at_once_max;
  while (left != 0 && !lists_.empty()) {
    sliced_list& next = lists_.front();
    left -= next.wake_some_(next, left);
  }
}

}  // namespace ringlet::extend
