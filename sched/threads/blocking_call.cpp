// How a thread without a scheduler waits for a call.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/blocking_call.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/assert.hpp>

namespace ringlet::detail {
using namespace extend;

blocking_call_base::blocking_call_base() noexcept
    : done_watcher(&blocking_call_base::on_callee_ended) {
  run = &blocking_call_base::on_request;
}

void blocking_call_base::make(const call_target& to) {
  RINGLET_ASSERT(current_scheduler_or_null() == nullptr,
                 "call() of a scheduler_handle blocks its thread, and this thread runs a "
                 "scheduler: co_await run_on()");
  if (!to.post(*this)) throw_error(errc::closed, "call: the scheduler has ended");
  {
    std::unique_lock lock(mutex_);
    over_.wait(lock, [this] { return is_over_; });
  }
  if (error_ != nullptr) std::rethrow_exception(error_);
  if (was_refused_) throw_error(errc::closed, "call: the scheduler is ending");
}

void blocking_call_base::on_request(posted_work& received) noexcept {
  auto& self = static_cast<blocking_call_base&>(received);
  scheduler& here = current_scheduler();
  if (!here.accepts_call(false)) {
    self.was_refused_ = true;
    return self.finish();
  }
  try {
    self.callee_ = self.start(here);
  } catch (...) {
    self.error_ = std::current_exception();
  }
  if (self.callee_ == nullptr) return self.finish();
  self.callee_->watch(self);
  here.adopt(*self.callee_);
}

void blocking_call_base::on_callee_ended(done_watcher& watcher) noexcept {
  auto& self = static_cast<blocking_call_base&>(watcher);
  fiber_base& ended = *self.callee_;
  try {
    if (ended.result() == outcome::value) {
      self.collect(ended);
    } else if (self.error_ = ended.take_error(); self.error_ == nullptr) {
      throw_error(errc::fiber_cancelled, "call: the callee was killed");
    }
  } catch (...) {
    self.error_ = std::current_exception();
  }
  ended.drop_reference();
  self.finish();
}

// The thread continues, and destroys the call, when the lock is released.
void blocking_call_base::finish() noexcept {
  const std::lock_guard lock(mutex_);
  is_over_ = true;
  over_.notify_one();
}

}  // namespace ringlet::detail
