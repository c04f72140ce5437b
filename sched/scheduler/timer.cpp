// The heap behind the timers.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/timer.hpp>

#include <algorithm>

namespace ringlet::extend {

void timer_queue::add_places() {
  constexpr std::size_t least = 64;
  const std::size_t before = heap_.capacity();
  try {
    heap_.reserve(std::max(least, 2 * before));
  } catch (...) {
    give_place();  // undoes reserve_place()
    throw;
  }
  free_places_ += static_cast<std::ptrdiff_t>(heap_.capacity() - before);
}

void timer_queue::arm(timer_entry& added, steady_ns deadline,
                      timer_entry::handler on_expiry) noexcept {
  disarm(added);
  const entry last{deadline, armed_so_far_++, &added, on_expiry};
  heap_.push_back(last);  // has a reserved place, so it does not allocate
  sift_up(heap_.size() - 1, last);
}

void timer_queue::remove(timer_entry& removed) noexcept {
  const std::size_t index = removed.index_;
  removed.index_ = timer_entry::unarmed;
  const entry last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  // The last entry takes the free place and sifts up or down to where it belongs.
  if (index > 0 && last.before(heap_[(index - 1) / arity])) {
    sift_up(index, last);
  } else {
    sift_down(index, last);
  }
}

void timer_queue::sift_up(std::size_t index, const entry& moved) noexcept {
  while (index > 0) {
    const std::size_t parent = (index - 1) / arity;
    if (!moved.before(heap_[parent])) break;
    put(index, heap_[parent]);
    index = parent;
  }
  put(index, moved);
}

void timer_queue::sift_down(std::size_t index, const entry& moved) noexcept {
  for (;;) {
    const std::size_t first = index * arity + 1;
    if (first >= heap_.size()) break;
    const std::size_t end = std::min(first + arity, heap_.size());
    std::size_t least = first;
    for (std::size_t child = first + 1; child < end; ++child) {
      if (heap_[child].before(heap_[least])) least = child;
    }
    if (!heap_[least].before(moved)) break;
    put(index, heap_[least]);
    index = least;
  }
  put(index, moved);
}

void timer_queue::expire(steady_ns now, std::size_t most) noexcept {
  for (; most != 0 && !heap_.empty() && heap_.front().deadline <= now; --most) {
    const entry due = heap_.front();
    remove(*due.owner);
    due.on_expiry(*due.owner);
  }
}

}  // namespace ringlet::extend
