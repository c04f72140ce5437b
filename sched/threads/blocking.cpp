// Passes a call to the workers, and wakes the fiber when it has been made.
// SPDX-License-Identifier: MIT
#include <ringlet/blocking.hpp>

namespace ringlet::extend {

const wait_type blocking_wait_base::type = make_type<blocking_wait_base>("blocking call");

bool blocking_wait_base::begin(frame_record& at) {
  if (!enter(at)) return continue_or_yield(at);
  run = &blocking_wait_base::on_answer;
  // Submit first: without a worker this throws into the caller. The answer cannot arrive before
  // this thread returns to its engine.
  fiber_->scheduler().engine().submit(*this);
  suspend_external(type, at);
  return true;
}

void blocking_wait_base::on_answer(posted_work& job) noexcept {
  static_cast<blocking_wait_base&>(static_cast<blocking_job&>(job)).wake_external();
}

void blocking_wait_base::on_cancel(cancel_reason reason) noexcept {
  if (withdrawn_ || !owner->withdraw(*this)) return;
  withdrawn_ = true;
  reason_ = reason;
  on_answer(*this);
}

bool blocking_wait_base::call_was_made() {
  rethrow_interruption();
  return !withdrawn_;
}

}  // namespace ringlet::extend
