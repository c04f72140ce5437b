// The life of an alarm: made, set, due, and outlived by its owner.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/alarm.hpp>
#include <ringlet/extend/assert.hpp>

namespace ringlet::detail {
using namespace extend;

alarm::alarm(handler on_due, const char* outside, const char* rule, handler on_end)
    : timer_entry(current_scheduler(outside).timers()),
      scheduler_(&current_scheduler()),
      on_due_(on_due),
      on_end_(on_end),
      rule_(rule) {
  scheduler_->hooks().add(*this);
}

alarm::~alarm() {
  if (scheduler_ == nullptr) return;
  unlink();
  stop();
  scheduler_->timers().give_place();
}

void alarm::set(steady_ns deadline) noexcept {
  scheduler().timers().arm(*this, deadline, &alarm::on_expiry);
}

void alarm::stop() noexcept {
  if (!armed()) return;
  if (!scheduler_->is_left_behind()) scheduler_->check_thread(rule_);
  scheduler_->timers().disarm(*this);
}

scheduler& alarm::scheduler() const noexcept {
  RINGLET_ASSERT(scheduler_ != nullptr, rule_);
  scheduler_->check_thread(rule_);
  return *scheduler_;
}

void alarm::on_expiry(timer_entry& due) noexcept {
  auto& self = static_cast<alarm&>(due);
  self.on_due_(self);
}

void alarm::on_shutdown() noexcept {
  stop();
  if (on_end_ != nullptr) on_end_(*this);
}

void alarm::on_scheduler_gone() noexcept {
  stop();
  scheduler_->timers().give_place();
  scheduler_ = nullptr;
}

}  // namespace ringlet::detail
