// A scope with a timer.
#include <ringlet/with_timeout.hpp>

namespace ringlet {

deadline_scope::deadline_scope(until limit)
    : scope(current()),
      timer(current_scheduler().timers(), &deadline_scope::on_expiry),
      queue_(current_scheduler().timers()) {
  if (!limit.is_forever()) queue_.arm(*this, limit.resolve(current_scheduler().now()));
}

deadline_scope::~deadline_scope() {
  queue_.disarm(*this);
  queue_.give_place();
}

bool deadline_scope::extend(until limit) noexcept {
  if (has_passed()) return false;
  queue_.disarm(*this);
  if (!limit.is_forever()) queue_.arm(*this, limit.resolve(current_scheduler().now()));
  return true;
}

void deadline_scope::on_expiry(timer& due) noexcept { static_cast<deadline_scope&>(due).cancel(); }

}  // namespace ringlet
