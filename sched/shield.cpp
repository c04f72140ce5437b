// A scope that holds back, and the timer that ends this.
#include <ringlet/shield.hpp>

namespace ringlet {

shield_scope::shield_scope(until limit)
    : scope(current()),
      timer(current_scheduler().timers(), &shield_scope::on_expiry),
      queue_(current_scheduler().timers()) {
  hold_back(current_scheduler().lets_hold_back());
  if (!limit.is_forever()) queue_.arm(*this, limit.resolve(current_scheduler().now()));
}

shield_scope::~shield_scope() {
  queue_.disarm(*this);
  queue_.give_place();
}

void shield_scope::on_expiry(timer& due) noexcept {
  static_cast<shield_scope&>(due).hold_back(false);
}

}  // namespace ringlet
