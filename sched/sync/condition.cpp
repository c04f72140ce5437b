// Waiting without the lock, and getting it back.
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
    : waiter(*on.lock_, timeout), from_(&on), predicate_(is_true) {
  takes_lock_ = &condition_wait::on_given_lock;
}

bool condition_wait::begin(frame_record& at) {
  if (!enter(at)) return continue_or_yield(at);
  RINGLET_ASSERT(on_->is_held(),
                 "a fiber waited for a condition without holding its mutex: lock it first");
  if (predicate_ != nullptr && predicate_(*this)) {
    is_true_ = true;
    return continue_or_yield(at);
  }
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
void condition_wait::wait_for_lock() noexcept {
  in_condition_ = false;
  --from_->waiting_;
  ++from_->returning_;
  on_->add(*this);
}

// notify_all() does not touch the waits, of which there may be many.
bool condition_wait::is_in_condition() const noexcept {
  return in_condition_ && round_ == from_->rounds_;
}

void condition_wait::on_cancel(cancel_reason reason) noexcept {
  if (!is_in_condition()) {  // it is in the line of the lock, which it does not leave
    is_late_ = is_late_ || reason == cancel_reason::timed_out;
    return;
  }
  reason_ = reason;
  unlink();
  wait_for_lock();
  if (!on_->is_locked()) on_->hand_over();
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
  return is_true_ || is_late_ || reason_ == cancel_reason::timed_out;
}

bool condition_wait::on_given_lock(waiter& given) noexcept {
  auto& self = static_cast<condition_wait&>(given);
  self.on_->depth_ = self.depth_;
  --self.from_->returning_;
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
  constexpr auto rule =
      "a condition was destroyed while a fiber waited for it: it must outlive the fibers that use "
      "it, so declare it outside of the group that they are in, or pass it to with_group() as an "
      "argument";
  RINGLET_ASSERT(waiters_.empty() && returning_ == 0, rule);
}

void condition::notify(std::size_t count) noexcept {
  for (; count != 0 && !waiters_.empty(); --count) {
    auto& next = static_cast<condition_wait&>(waiters_.front());
    next.unlink();
    next.wait_for_lock();
  }
  if (!lock_->is_locked()) lock_->hand_over();
}

void condition::notify_all() noexcept {
  ++rounds_;
  lock_->add_all(waiters_, waiting_);
  returning_ += std::exchange(waiting_, 0);
  if (!lock_->is_locked()) lock_->hand_over();
}

}  // namespace ringlet
