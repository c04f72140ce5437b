// The beginning and the end of a wait.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/selection.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/fiber.hpp>

#include <exception>
#include <stdexcept>
#include <string_view>

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

// What dump() shows while a fiber yields because its budget is used up. Its wait is already over.
constexpr wait_type budget_wait{"yield (budget)", nullptr, nullptr};

}  // namespace

bool wait_base::throw_at(frame_record& at) noexcept {
  reason_ = cancel_reason::interrupted;
  fiber_->set_budget_aside();
  return continue_or_yield(at);
}

// Called when the budget is used up, or was set aside because an interruption is pending. If fibers
// must end before the interruption may unwind this one, the fiber is held in this wait.
bool wait_base::yield_for_budget(frame_record& at) noexcept {
  const bool was_set_aside = fiber_->restore_budget();
  if (fiber_->interrupted() && fiber_->prepare_to_unwind()) {
    fiber_->hold_at(at);
    return true;
  }
  if (was_set_aside && fiber_->may_continue()) return false;
  fiber_->begin_wait(budget_wait, this, at);
  fiber_->scheduler().push(*fiber_);
  return true;
}

void wait_base::arm_limit() noexcept {
  fiber_->arm_limit(limit_.resolve(fiber_->scheduler().now()));
}

void wait_base::disarm_limit_and_wake() noexcept {
  fiber_->disarm_limit();
  fiber_->wake();
}

std::error_code wait_base::cancellation_error() {
  if (reason_ == cancel_reason::none) return {};
  if (reason_ == cancel_reason::interrupted || (fiber_->interrupted() && !fiber_->is_blocked())) {
    fiber_->throw_interruption();
  }
  return reason_ == cancel_reason::closed ? errc::closed : errc::timed_out;
}

void two_phase_wait::win() noexcept { of_->on_concluded(place_); }

void list_wait::complete() noexcept {
  fiber_->scheduler().check_thread("a fiber was woken on a thread that is not its scheduler's");
  unlink();
  conclude();
}

void list_wait::end_orphans(wait_list& left, const char* rule) noexcept {
  if (left.empty()) return;
  RINGLET_ASSERT(std::uncaught_exceptions() != 0, rule);
  while (!left.empty()) {
    list_wait& orphan = left.front();
    orphan.reason_ = cancel_reason::closed;
    orphan.complete();
  }
  const fiber_base* const owner = current_scheduler().running();
  const std::exception_ptr broken = std::make_exception_ptr(std::logic_error(rule));
  if (owner != nullptr) return detail::report_failure_of(*owner, broken);
  report_unhandled({0, {}, broken});
}

void detail::drop_waits_left_behind(wait_list& waits) noexcept {
  while (!waits.empty() && waits.front().is_left_behind()) waits.pop_front();
}

}  // namespace ringlet
