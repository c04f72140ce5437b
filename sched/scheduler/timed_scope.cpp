// How a limit is armed, how it expires, and which thread may use it.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/timed_scope.hpp>

namespace ringlet::extend {

timed_scope::timed_scope(expiry when_due)
    : scope(current()),
      timer_entry(current_scheduler().timers()),
      scheduler_(current_scheduler()),
      when_due_(when_due) {}

timed_scope::~timed_scope() {
  scheduler_.timers().disarm(*this);
  scheduler_.timers().give_place();
  open_.clear();
}

void timed_scope::check_thread(const char* rule) const noexcept {
  RINGLET_ASSERT(open_.is_set(),
                 "a deadline_scope was used after its call had returned: nothing that lives longer "
                 "may keep a reference to it");
  scheduler_.check_thread(rule);
}

void timed_scope::set_limit(time_limit timeout) noexcept {
  scheduler_.timers().disarm(*this);
  if (!timeout.is_forever())
    scheduler_.timers().arm(*this, timeout.resolve(scheduler_.now()), &timed_scope::on_due);
}

const scope* timed_scope::of(const timer_entry& armed, timer_entry::handler on_expiry) noexcept {
  if (on_expiry != &timed_scope::on_due) return nullptr;
  return static_cast<const timed_scope*>(&armed);
}

void timed_scope::on_due(timer_entry& due) noexcept {
  auto& self = static_cast<timed_scope&>(due);
  self.when_due_(self);
}

}  // namespace ringlet::extend
