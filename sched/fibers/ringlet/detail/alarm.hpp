// alarm: calls a function of its owner at a point in time.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/shutdown_hook.hpp>
#include <ringlet/extend/timer.hpp>

namespace ringlet::detail {

/// A timer_entry for objects that programs keep, and that may outlive run(). Setting it never
/// allocates. Thread: that of the scheduler that it was made on; elsewhere everything aborts with
/// `rule`.
class alarm : private extend::timer_entry, private extend::shutdown_hook {
 public:
  using handler = void (*)(alarm&) noexcept;

  /// `on_end`, if any, is called when all fibers have ended, before the scheduler goes. Aborts with
  /// `outside` if it is made outside of run().
  alarm(handler on_due, const char* outside, const char* rule, handler on_end = nullptr);
  ~alarm();

  void set(extend::steady_ns deadline) noexcept;
  void stop() noexcept;
  bool is_set() const noexcept { return armed(); }
  extend::scheduler& scheduler() const noexcept;

 private:
  static void on_expiry(extend::timer_entry& due) noexcept;
  void on_shutdown() noexcept override;
  void on_scheduler_gone() noexcept override;

  extend::scheduler* scheduler_;  // null once it has gone
  handler on_due_;
  handler on_end_;
  const char* rule_;
};

}  // namespace ringlet::detail
