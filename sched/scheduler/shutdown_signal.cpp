// The waits for a signal.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/shutdown_signal.hpp>
#include <ringlet/extend/wait.hpp>

namespace ringlet::detail {
using namespace extend;

void shutdown_signal::add_waiter(list_wait& waiter) noexcept { waiters_.push_back(waiter); }

void shutdown_signal::request() noexcept {
  has_request_ = true;
  while (!waiters_.empty()) waiters_.front().complete();
}

}  // namespace ringlet::detail
