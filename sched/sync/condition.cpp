// Waiting without the lock, and getting it back.
// SPDX-License-Identifier: MIT
#include <ringlet/condition.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace ringlet {
using namespace extend;

const wait_type condition_wait::type = make_type<condition_wait>("condition");

condition_wait::condition_wait(condition& on, time_limit timeout) noexcept
    : condition_wait(on, timeout, nullptr) {}

condition_wait::condition_wait(condition& on, time_limit timeout, predicate is_true) noexcept
    : waiter(*on.lock_, timeout), from_(&on), predicate_(is_true) {}

bool condition_wait::begin(frame_record& at) {
  if (!enter(at)) return continue_or_yield(at);
  RINGLET_ASSERT(on_->is_held(),
                 "a fiber waited for a condition without holding its mutex: lock it first");
  if (predicate_ != nullptr && predicate_(*this)) {
    is_true_ = true;
    return continue_or_yield(at);
  }
  if (fiber_->interrupted()) return throw_at(at);  // the predicate has killed it
  suspend(type, at);
  depth_ = std::exchange(on_->depth_, 0);
  wait_in_condition();
  on_->hand_over();
  return true;
}

void condition_wait::wait_in_condition() noexcept {
  round_ = from_->rounds_;
  in_condition_ = true;
  from_->waiters_.push_back(*this);
  from_->waiting_peak_ = std::max(from_->waiting_peak_, ++from_->waiting_);
}

// By then it has left the list of the condition.
void condition_wait::leave_condition() noexcept {
  in_condition_ = false;
  --from_->waiting_;
  ++from_->returning_;
}

// notify_all() does not touch the waits, of which there may be many.
bool condition_wait::is_in_condition() const noexcept {
  return in_condition_ && round_ == from_->rounds_;
}

void condition_wait::on_cancel(cancel_reason reason) noexcept {
  if (!is_in_condition()) {  // it waits for the lock, and so it does until it has it
    is_late_ = is_late_ || reason == cancel_reason::timed_out;
    return;
  }
  reason_ = reason;
  unlink();
  leave_condition();
  want_lock_back();
  if (!on_->is_locked()) on_->hand_over();
}

void condition_wait::want_lock_back() noexcept {
  on_->add(*this, &condition_wait::on_given_lock);
  // Most often the holder is the fiber that notifies, which does not wait.
  const fiber_base* const holder = on_->holder_;
  if (holder != nullptr && holder->current_wait().type != nullptr) look_for_cycle();
}

// Called when the lock has been given to its fiber.
bool condition_wait::is_over() noexcept {
  if (reason_ == cancel_reason::interrupted || fiber_->interrupted()) {
    // It was notified, and not together with all: then only fibers that came later would be left.
    if (reason_ == cancel_reason::none && !in_condition_) from_->notify();
    reason_ = cancel_reason::interrupted;
    return true;
  }
  if (predicate_ == nullptr) {
    is_true_ = reason_ == cancel_reason::none;
    return true;
  }
  try {
    is_true_ = predicate_(*this);
  } catch (...) {
    error_ = std::current_exception();
    return true;
  }
  // The predicate may have killed it, which on_cancel() has not ended.
  if (!is_true_ && fiber_->interrupted()) {
    reason_ = cancel_reason::interrupted;
    return true;
  }
  return is_true_ || is_late_ || reason_ == cancel_reason::timed_out;
}

bool condition_wait::on_given_lock(waiter& given) noexcept {
  auto& self = static_cast<condition_wait&>(given);
  self.on_->depth_ = self.depth_;
  --self.from_->returning_;
  if (std::exchange(self.ends_slice_, false)) self.from_->end_slice();
  if (self.is_over()) return true;
  self.wait_in_condition();
  return false;
}

const fiber_base* condition_wait::holder() const noexcept {
  return is_in_condition() ? nullptr : waiter::holder();
}

void condition_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{} with {} waiting (at most {})",
                 static_cast<const void*>(from_), from_->waiting_, from_->waiting_peak_);
  if (!is_in_condition()) {
    out += ", for ";
    waiter::describe(out);
  }
}

condition::~condition() {
  detail::drop_waits_left_behind(waiters_);
  detail::drop_waits_left_behind(rest_);
  constexpr auto rule =
      "a condition was destroyed while a fiber waited for it: it must outlive the fibers that use "
      "it, so declare it outside of the group that they are in, or pass it to with_group() as an "
      "argument";
  const bool none_returns = returning_ == 0 || lock_->owner_.is_left_behind();
  RINGLET_ASSERT(waiters_.empty() && none_returns, rule);
}

void condition::notify(std::size_t count) noexcept {
  lock_->check_thread();
  for (; count != 0 && !waiters_.empty(); --count) {
    auto& next = static_cast<condition_wait&>(waiters_.front());
    next.unlink();
    next.leave_condition();
    if (rest_.empty()) {
      next.want_lock_back();
    } else {
      rest_.push_back(next);  // those were notified before
    }
  }
  if (!lock_->is_locked()) lock_->hand_over();
}

void condition::notify_all() noexcept {
  lock_->check_thread();
  ++rounds_;
  returning_ += std::exchange(waiting_, 0);
  rest_.splice_back(waiters_);
  if (!moves_in_slices_) move_slice(wake_lists::at_once_max);
}

// The fiber that unlocks the mutex asks the predicates of all that wait in its line, until one is
// true. With a hundred thousand of them it would keep the thread for tens of milliseconds. So a
// slice is in the line, and the next one follows in the turn after the last of that was asked.
std::size_t condition::move_slice(std::size_t most) noexcept {
  std::size_t count = 0;
  condition_wait* last = nullptr;
  for (; count != most && !rest_.empty(); ++count) {
    last = &static_cast<condition_wait&>(rest_.front());
    last->unlink();
    last->want_lock_back();
  }
  if (!rest_.empty()) moves_in_slices_ = last->ends_slice_ = true;
  if (!lock_->is_locked()) lock_->hand_over();
  return count;
}

void condition::end_slice() noexcept { current_scheduler().wakes().add(*this); }

std::size_t condition::resume_slice(sliced_list& of, std::size_t most) noexcept {
  condition& self = static_cast<condition&>(of);
  self.unlink();
  self.moves_in_slices_ = false;
  return self.move_slice(most);
}

}  // namespace ringlet
