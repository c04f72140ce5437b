// The order in which limits that are started by hand may end.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/manual_timeout.hpp>

#include <exception>

namespace ringlet {
using namespace extend;

manual_timeout::manual_timeout() noexcept
    : done_watcher([](done_watcher&) noexcept {
        RINGLET_ASSERT(false,
                       "a fiber ended while a manual_timeout that it had started was active: call "
                       "stop(), or declare it in the call that it limits");
      }) {}

void manual_timeout::start(time_limit timeout) {
  RINGLET_ASSERT(!scope_.has_value(),
                 "a manual_timeout was started while it was active: call restart() to replace the "
                 "limit, or stop() first");
  scope_.emplace(timeout);
  owner_ = &current();
  owner_->watch(*this);
}

bool manual_timeout::restart(time_limit timeout) noexcept {
  RINGLET_ASSERT(scope_.has_value(), "a manual_timeout was restarted that was not active");
  return scope_->extend(timeout);
}

bool manual_timeout::stop() noexcept {
  if (!scope_.has_value()) return true;
  scheduler& owners = owner_->scheduler();
  if (!owners.is_left_behind()) {
    owners.check_thread("a manual_timeout was stopped on a thread that is not its fiber's");
    RINGLET_ASSERT(owners.running() == owner_,
                   "a manual_timeout was stopped by a fiber that had not started it");
    RINGLET_ASSERT(owner_->innermost_scope() == &*scope_,
                   "a manual_timeout was stopped while a limit, group or shield that had begun "
                   "later was still active: they nest, so end them in the reverse order");
  }
  unlink();
  const bool is_in_time = !scope_->has_passed();
  scope_.reset();
  return is_in_time;
}

void manual_timeout::rethrow() {
  RINGLET_ASSERT(std::current_exception() != nullptr,
                 "rethrow() of a manual_timeout was called outside of an exception handler");
  try {
    throw;
  } catch (const cancelled& thrown) {
    const bool is_mine = is_reason_of(thrown);
    stop();
    if (!is_mine) throw;
  } catch (...) {
    stop();
    throw;
  }
  throw timed_out("manual_timeout");
}

}  // namespace ringlet
