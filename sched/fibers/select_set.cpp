// The calls of a set: made for each wait, and found by their place.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/select_set.hpp>

#include <atomic>
#include <cstdint>
#include <stdexcept>

namespace ringlet {
using namespace extend;

namespace {

// Counts the calls of all sets, so that a part of one set names no call of another.
std::atomic<std::uint64_t> serials = 0;

}  // namespace

select_set::~select_set() {
  RINGLET_ASSERT(!in_use_, "a select_set was destroyed while a fiber waited in its first()");
}

select_set::slot& select_set::put(std::unique_ptr<select_set_wait::part> added) {
  check_unused();
  if (free_.empty()) {
    const std::size_t count = slots_.size() + 1;
    if (count > slots_.capacity()) slots_.reserve(2 * count);
    free_.reserve(slots_.capacity());
    candidates_.reserve(slots_.capacity());
    slots_of_candidates_.reserve(slots_.capacity());
    slots_.push_back({nullptr, slots_.size(), 0});
    free_.push_back(slots_.size() - 1);
  }
  slot& filled = slots_[free_.back()];
  free_.pop_back();
  filled.what = std::move(added);
  filled.serial = serials.fetch_add(1, std::memory_order_relaxed) + 1;
  ++size_;
  return filled;
}

void select_set::drop(std::size_t index, std::uint64_t serial) noexcept {
  check_unused();
  RINGLET_ASSERT(index < slots_.size() && slots_[index].serial == serial && serial != 0,
                 "a call was removed from a select_set that it is not part of");
  slot& left = slots_[index];
  left.what.reset();
  left.serial = 0;
  free_.push_back(index);
  --size_;
  if (taken_ == index) taken_ = none;
}

void select_set::make_calls() {
  check_unused();
  if (size_ == 0) {
    throw std::invalid_argument(
        "select_set::first() was called on an empty set: nothing could end the wait");
  }
  taken_ = none;
  candidates_.clear();
  slots_of_candidates_.clear();
  const std::size_t begin = last_taken_ == none ? 0 : last_taken_ + 1;
  in_use_ = true;
  try {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const std::size_t index = (begin + i) % slots_.size();
      if (slots_[index].what == nullptr) continue;
      candidates_.push_back(slots_[index].what->make());
      slots_of_candidates_.push_back(index);
    }
  } catch (...) {
    in_use_ = false;
    forget_calls();
    throw;
  }
}

void select_set::forget_calls() noexcept {
  for (const std::size_t index : slots_of_candidates_) {
    if (index != taken_) slots_[index].what->forget();
  }
}

select_set_wait::select_set_wait(select_set& of, time_limit timeout) noexcept
    : selection(timeout), of_(&of) {}  // make_calls() has set in_use_

select_set_wait::~select_set_wait() {
  of_->in_use_ = false;
  of_->forget_calls();
}

bool select_set_wait::begin_first(frame_record& at) { return begin(of_->candidates_, at); }

result<std::size_t> select_set_wait::take() {
  rethrow_interruption();
  if (winner() == none) return cancellation_error();
  of_->taken_ = of_->last_taken_ = of_->slots_of_candidates_[winner()];
  return of_->taken_;
}

std::size_t select_set_wait::await_resume() { return detail::value_or_throw(take(), "select"); }

}  // namespace ringlet
