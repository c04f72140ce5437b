// timed_scope: a scope with a limit.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/life_mark.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/extend/timer.hpp>
#include <ringlet/time_limit.hpp>

namespace ringlet::extend {

/// A scope around what the running fiber calls, with a limit. The derived class defines what
/// happens when the limit passes.
class timed_scope : public scope, private timer_entry {
 public:
  /// Like the functions of scope, but abort on other threads than the fiber's, or after the call
  /// has returned.
  void cancel() noexcept {
    check_thread("a limit was cancelled on a thread that is not its fiber's");
    scope::cancel();
  }
  bool is_cancelled() const noexcept {
    check_thread("a limit was queried on a thread that is not its fiber's");
    return scope::is_cancelled();
  }

  /// The scope that the timer belongs to; null if it belongs to something else. (dump() finds
  /// limits this way, so scopes need not store them.)
  static const scope* of(const timer_entry& armed, timer_entry::handler on_expiry) noexcept;

 protected:
  using expiry = void (*)(timed_scope&) noexcept;

  explicit timed_scope(expiry when_due);
  ~timed_scope();

  /// Aborts with `rule` on any thread but that of its fiber, and with another message if its call
  /// has returned.
  void check_thread(const char* rule) const noexcept;
  /// Sets a limit, counted from now, and replaces an earlier one.
  void set_limit(time_limit timeout) noexcept;

 private:
  static void on_due(timer_entry& due) noexcept;
  detail::life_mark open_;  // uses padding
  extend::scheduler& scheduler_;
  expiry when_due_;
};

}  // namespace ringlet::extend
