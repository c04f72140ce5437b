// thread_waiter: a plain thread that waits for an object that threads share.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/concurrent_waiter.hpp>
#include <ringlet/time_limit.hpp>

#include <condition_variable>
#include <mutex>

namespace ringlet::detail {

class concurrent_flag;

/// Aborts with `rule` if this thread has a scheduler, whose fibers would all stop.
void check_may_block(const char* rule) noexcept;

/// Blocks its thread. It must have been served, refused, or have left the line when it ends.
class thread_waiter final : public concurrent_waiter {
 public:
  thread_waiter() noexcept;
  /// Waits until it has been notified. False if the limit passed first.
  bool wait(const time_limit& timeout);
  /// The same without a limit, for one that has been served.
  void wait();
  /// Once notified: whether it was not refused.
  bool was_served() const noexcept { return where() == standing::served; }

 private:
  static void on_served(concurrent_waiter& served) noexcept;
  static bool is_left_behind(const concurrent_waiter& waiter) noexcept;
  static const kind how;

  std::mutex mutex_;
  std::condition_variable notified_;
  bool is_notified_ = false;
  int process_;
};

/// Blocks this thread until the flag is set. False if the limit passed first.
bool wait_for_flag(concurrent_flag& flag, const time_limit& timeout);

}  // namespace ringlet::detail
