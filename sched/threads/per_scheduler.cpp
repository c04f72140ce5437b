// When the value of a per_scheduler is destroyed.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/scheduler_slot.hpp>

namespace ringlet::detail {
using namespace extend;

scheduler_slot_base::scheduler_slot_base()
    : home_(current_scheduler()), serial_(current_scheduler().serial()) {
  run = &scheduler_slot_base::on_release;
}

void scheduler_slot_base::enlist() noexcept { current_scheduler().hooks().add(*this); }

void scheduler_slot_base::release() noexcept {
  if (!home_.post(*this)) drop();
}

void scheduler_slot_base::on_release(posted_work& received) noexcept {
  auto& self = static_cast<scheduler_slot_base&>(received);
  if (self.linked()) {
    self.unlink();
    self.on_scheduler_gone();
  }
  self.drop();
}

void scheduler_slot_base::on_scheduler_gone() noexcept {
  destroy_value();
  drop();
}

void scheduler_slot_base::drop() noexcept {
  if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace ringlet::detail
