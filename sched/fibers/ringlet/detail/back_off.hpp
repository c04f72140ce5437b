// back_off: the pauses of one retry(), and when it gives up.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>
#include <ringlet/time_limit.hpp>

#include <chrono>
#include <cstddef>

namespace ringlet {

struct retry_policy;

}  // namespace ringlet

namespace ringlet::detail {

/// Thread: that of a scheduler.
class back_off {
 public:
  /// The budget begins now. Throws std::invalid_argument if a value is out of range.
  explicit back_off(const retry_policy& policy);

  bool is_limited() const noexcept { return deadline_ != extend::never; }
  time_limit limit() const noexcept { return time_limit::at(deadline_); }
  /// Called when a call has failed: chooses the next pause. False if there is to be no other call.
  bool next() noexcept;
  std::size_t attempts() const noexcept { return attempts_; }
  std::chrono::nanoseconds pause() const noexcept { return pause_; }

 private:
  std::size_t attempts_max_;
  double pause_max_;  // like the next one, in nanoseconds
  double next_pause_;
  double growth_;
  double jitter_;
  extend::steady_ns deadline_;
  std::size_t attempts_ = 0;
  std::chrono::nanoseconds pause_{0};
};

}  // namespace ringlet::detail
