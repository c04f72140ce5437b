// How the notification of a wait comes to the thread of its fiber.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/concurrent_wait.hpp>
#include <ringlet/fiber.hpp>

namespace ringlet::extend {

constinit const detail::concurrent_waiter::kind concurrent_wait::how = {
    &concurrent_wait::notify, &concurrent_wait::is_of_parent};

// Even on the fiber's own thread: a caller that holds something, or is in the middle of a select(),
// is not interrupted.
void concurrent_wait::notify(detail::concurrent_waiter& served) noexcept {
  auto& self = static_cast<concurrent_wait&>(served);
  self.notified_->post(self);
}

bool concurrent_wait::is_of_parent(const detail::concurrent_waiter& waiter) noexcept {
  return static_cast<const concurrent_wait&>(waiter).is_left_behind();
}

void concurrent_wait::on_notified(posted_work& work) noexcept {
  auto& self = static_cast<concurrent_wait&>(work);
  if (self.stage_ == stage::watched && self.where() == standing::refused) {
    self.reason_ = cancel_reason::closed;
  }
  self.end_now();
}

}  // namespace ringlet::extend
