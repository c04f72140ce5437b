// change_wait: what changed() of a watch's subscriber returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/detail/watch_base.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstdint>
#include <string>

namespace ringlet::extend {

/// A publication ends all waits of the watch at once, through its wake_list. So a wait finds out
/// when its fiber resumes whether there is a new version, or none because the watch was closed.
class [[nodiscard]] change_wait : public list_wait {
 public:
  change_wait(detail::watch_subscriber& by, time_limit timeout) noexcept
      : list_wait(timeout), by_(&by) {}
  ~change_wait() {
    if (on_ != nullptr) by_->wait_ = nullptr;
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<bool> take();
  bool await_resume() { return detail::value_or_throw(take(), "changed"); }

  bool try_now() noexcept;
  void watch() noexcept;
  void unwatch() noexcept;
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  static const wait_type type;

 private:
  friend class detail::watch_subscriber;

  /// Whether set() or close() has ended it, so that no other reason counts.
  bool is_over() const noexcept { return round_ != on_->woken_.round(); }

  detail::watch_subscriber* by_;
  detail::watch_base* on_ = nullptr;  // null until it is awaited
  std::uint64_t seen_ = 0;
  std::uint32_t round_ = 0;
};

}  // namespace ringlet::extend
