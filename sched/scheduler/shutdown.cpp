// The wait for the signal that asks the program to end.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/shutdown.hpp>

namespace ringlet {
using namespace extend;

const wait_type shutdown_wait::type = make_type<shutdown_wait>("shutdown request");

bool shutdown_wait::begin(frame_record& at) noexcept { return begin_alone(*this, at); }

bool shutdown_wait::try_now() noexcept { return fiber_->scheduler().signal().has_request(); }

void shutdown_wait::watch() noexcept { fiber_->scheduler().signal().add_waiter(*this); }

shutdown_wait shutdown_requested(time_limit timeout) noexcept {
  current_scheduler().signal().expect_request();
  return shutdown_wait(timeout);
}

bool shutting_down() noexcept { return current_scheduler().shutting_down(); }

}  // namespace ringlet
