// The rounds of a barrier: how they end, and how they break.
// SPDX-License-Identifier: MIT
#include <ringlet/barrier.hpp>

#include <fmt/format.h>

#include <iterator>
#include <stdexcept>

namespace ringlet {
using namespace extend;

const wait_type barrier::arrival::type = make_type<arrival>("barrier");

barrier::barrier(std::size_t parties) : parties_(parties) {
  if (parties == 0) {
    throw std::invalid_argument("the number of parties of a barrier is 0: it must be at least 1");
  }
}

barrier::~barrier() {
  RINGLET_ASSERT(!acts_ || owner_.is_left_behind(),
                 "the action of a barrier destroyed that barrier: a barrier must outlive its "
                 "rounds, so destroy it after arrive_and_wait() has returned");
  detail::drop_waits_left_behind(waiters_);
  list_wait::end_orphans(waiters_,
                         "a barrier was destroyed while a fiber waited in it: it must outlive the "
                         "fibers that use it, so declare it outside of the group that they are in, "
                         "or pass it to with_group() as an argument");
}

void barrier::abort() noexcept {
  check_thread();
  break_round();
}

void barrier::reset() noexcept {
  check_thread();
  RINGLET_ASSERT(!acts_, "the action of a barrier called reset() of that barrier");
  break_round();
  broken_ = false;
}

void barrier::end_round() noexcept {
  arrived_ = 0;
  released_.take(waiters_);
}

void barrier::break_round() noexcept {
  broken_ = true;
  arrived_ = 0;
  failed_.take(waiters_);
}

std::exception_ptr barrier::act() noexcept {
  std::exception_ptr failure;
  acts_ = true;
  try {
    action_();
  } catch (...) {
    failure = std::current_exception();
  }
  acts_ = false;
  return failure;
}

bool barrier::arrival::begin(frame_record& from) noexcept {
  if (!enter(from) || arrive()) return continue_or_yield(from);
  suspend(type, from);
  released_before_ = at_->released_.round();
  failed_before_ = at_->failed_.round();
  at_->waiters_.push_back(*this);
  return true;
}

bool barrier::arrival::arrive() noexcept {
  barrier& at = *at_;
  at.check_thread();
  if (!at.broken_) {
    index_ = at.arrived_++;
    if (at.arrived_ != at.parties_) return false;
    if (at.action_) failure_ = at.act();
    if (failure_ != nullptr) {
      at.break_round();
      return true;
    }
    if (!at.broken_) {
      at.end_round();
      return true;
    }
  }
  reason_ = cancel_reason::closed;  // broken before, or by the action
  return true;
}

void barrier::arrival::on_cancel(cancel_reason reason) noexcept {
  const bool is_released = released_before_ != at_->released_.round();
  const bool has_failed = failed_before_ != at_->failed_.round();
  if (is_released) return complete();
  if (has_failed) {
    reason_ = reason == cancel_reason::interrupted ? reason : cancel_reason::closed;
    return complete();
  }
  reason_ = reason;
  complete();
  at_->break_round();
}

result<std::size_t> barrier::arrival::take() {
  rethrow_interruption();
  if (failure_ != nullptr) std::rethrow_exception(failure_);
  const std::error_code error = cancellation_error();
  if (!error) return index_;
  return error == errc::closed ? make_error_code(errc::broken_barrier) : error;
}

void barrier::arrival::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{} with {} of {} arrived", static_cast<const void*>(at_),
                 at_->arrived_, at_->parties_);
}

}  // namespace ringlet
