// The times of a shutdown.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/shutdown_clock.hpp>
#include <ringlet/time_limit.hpp>

#include <algorithm>
#include <utility>

namespace ringlet::detail {
using namespace extend;

void shutdown_clock::start(steady_ns now) noexcept {
  if (start_ == never) start_ = now;
  find_next();
}

void shutdown_clock::start_to_the_end(steady_ns now) noexcept {
  if (!std::exchange(to_the_end_, true)) start_ = never;
  start(now);
}

void shutdown_clock::start_by_signal(steady_ns now) noexcept {
  if (signalled_at_ == never) signalled_at_ = now;
  start_to_the_end(now);
}

void shutdown_clock::kill_main_later(steady_ns now) noexcept {
  signalled_at_ = now;
  kill_main_at_ = time_limit(timeout_).resolve(now);
  find_next();
}

bool shutdown_clock::takes_kill_of_main(steady_ns now) noexcept {
  if (now < kill_main_at_) return false;
  kill_main_at_ = never;
  return true;
}

void shutdown_clock::forget_main() noexcept {
  if (std::exchange(kill_main_at_, never) != never) signalled_at_ = never;  // it ended in time
}

void shutdown_clock::enter(stage entered) noexcept {
  stage_ = entered;
  find_next();
}

void shutdown_clock::find_next() noexcept {
  next_ = never;
  if (start_ != never && stage_ == stage::holding) {
    next_ = time_limit(timeout_ / 2).resolve(start_);
  } else if (start_ != never && to_the_end_) {
    next_ = time_limit(stage_ == stage::released ? timeout_ : 2 * timeout_).resolve(start_);
  }
  // The signal kills the main task even if the program has already killed it.
  next_ = std::min(next_, kill_main_at_);
}

}  // namespace ringlet::detail
