// The pauses of a retry: exponential, with a random part.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/retry.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <system_error>

namespace ringlet {
using namespace extend;

namespace {

void check(const char* name, double value, double least, double most) {
  if (value >= least && value <= most) return;  // false for NaN
  throw std::invalid_argument(fmt::format(
      "the {} of a retry_policy is {}: it must be from {} to {}", name, value, least, most));
}

// The longest duration in nanoseconds, rounded up and down to a double.
constexpr double duration_max = 0x1p63;
constexpr double below_duration_max = 0x1.fffffffffffffp62;

}  // namespace

bool is_system_error(const std::exception_ptr& error) noexcept {
  if (error == nullptr) return false;
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error&) {
    return true;
  } catch (...) {
    return false;
  }
}

detail::back_off::back_off(const retry_policy& policy)
    : attempts_max_(policy.attempts_max),
      pause_max_(static_cast<double>(policy.pause_max.count())),
      next_pause_(static_cast<double>(policy.pause_first.count())),
      growth_(policy.growth),
      jitter_(policy.jitter),
      deadline_(never) {
  check("attempts_max", static_cast<double>(attempts_max_), 1, 1.9e19);
  check("pause_first in nanoseconds", next_pause_, 0, duration_max);
  check("pause_max in nanoseconds", pause_max_, 0, duration_max);
  check("growth", growth_, 1, 1e9);
  check("jitter", jitter_, 0, 1);
  if (!policy.budget.is_forever()) deadline_ = policy.budget.resolve(current_scheduler().now());
}

bool detail::back_off::next() noexcept {
  if (++attempts_ >= attempts_max_) return false;
  const double longest = std::min(next_pause_, pause_max_);
  next_pause_ = std::min(longest * growth_, pause_max_);
  scheduler& here = current_scheduler();
  double share = 1;
  if (jitter_ != 0) {
    constexpr double numbers = 9007199254740992;  // 2^53, as many as a double can tell apart
    share -= jitter_ * static_cast<double>(here.engine().random() >> 11) / numbers;
  }
  const double chosen = std::min(longest * share, below_duration_max);
  pause_ = std::chrono::nanoseconds(static_cast<std::int64_t>(chosen));
  return deadline_ == never || pause_.count() < deadline_ - here.now();
}

}  // namespace ringlet
