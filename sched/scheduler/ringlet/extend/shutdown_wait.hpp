// The wait that shutdown_requested() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>

namespace ringlet::extend {

/// See shutdown_requested().
class [[nodiscard]] shutdown_wait : public list_wait {
 public:
  explicit shutdown_wait(time_limit timeout) noexcept : list_wait(timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<bool> take() { return await_resume(); }
  bool await_resume() {
    rethrow_interruption();
    return reason_ == cancel_reason::none;
  }

  bool try_now() noexcept;
  void watch() noexcept;
  static const wait_type type;

 private:
  bool begin(frame_record& at) noexcept;
};

}  // namespace ringlet::extend
