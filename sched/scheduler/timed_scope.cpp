// The life of a limit: armed, due, asked from the wrong thread.
#include <ringlet/extend/timed_scope.hpp>
#include <ringlet/fiber_base.hpp>
#include <ringlet/scheduler.hpp>

namespace ringlet {

timed_scope::timed_scope(expiry when_due)
    : scope(current()),
      timer(current_scheduler().timers()),
      home_(current_scheduler()),
      when_due_(when_due) {}

timed_scope::~timed_scope() {
  home_.timers().disarm(*this);
  home_.timers().give_place();
  open_.clear();
}

void timed_scope::check_thread(const char* rule) const noexcept {
  RINGLET_ASSERT(open_.is_set(),
                 "a deadline_scope was used after its call had returned: nothing that lives longer "
                 "may keep a reference to it");
  home_.check_thread(rule);
}

void timed_scope::set_limit(until limit) noexcept {
  home_.timers().disarm(*this);
  if (!limit.is_forever())
    home_.timers().arm(*this, limit.resolve(home_.now()), &timed_scope::on_due);
}

const scope* timed_scope::of(const timer& armed, timer::handler on_expiry) noexcept {
  if (on_expiry != &timed_scope::on_due) return nullptr;
  return static_cast<const timed_scope*>(&armed);
}

void timed_scope::on_due(timer& due) noexcept {
  auto& self = static_cast<timed_scope&>(due);
  self.when_due_(self);
}

}  // namespace ringlet
