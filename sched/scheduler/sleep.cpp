// A sleep is a wait that its limit ends.
// SPDX-License-Identifier: MIT
#include <ringlet/fiber.hpp>
#include <ringlet/sleep.hpp>

namespace ringlet {
using namespace extend;

namespace {

constexpr wait_type yield_type{"yield", nullptr, nullptr};

}  // namespace

const wait_type sleep_wait::type = make_type<sleep_wait>("sleep");

bool sleep_wait::begin(frame_record& at) noexcept { return begin_alone(*this, at); }

bool yield_wait::begin(frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  fiber_->begin_wait(yield_type, this, at);
  fiber_->scheduler().push(*fiber_);
  return true;
}

// A separate function keeps the common path free of the registers that a call saves.
[[gnu::noinline]] void yield_wait::throw_unless_blocked() {
  if (!fiber_->is_blocked()) fiber_->throw_interruption();
}

// A yield takes nothing, so nothing is lost if it throws although its turn has come.
void yield_wait::await_resume() {
  if (fiber_->interrupted()) [[unlikely]]
    throw_unless_blocked();
}

}  // namespace ringlet
