// The wait that poll_fd() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/retry.hpp>
#include <ringlet/extend/operation_wait.hpp>
#include <ringlet/result.hpp>

#include <coroutine>

namespace ringlet::extend {

/// See poll_fd().
class [[nodiscard]] poll_fd_wait final : public basic_operation_wait<two_phase_wait> {
 public:
  poll_fd_wait(int polled, short events, const time_limit& timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_operation(type, caller.promise());
  }
  result<short> take() {
    // A poll takes nothing. So if the fiber is cancelled while the descriptor becomes ready, every
    // engine reports the cancellation.
    rethrow_interruption();
    if (answer < 0) return failure();
    return static_cast<short>(answer);
  }
  short await_resume() {
    rethrow_interruption();
    return take_or_throw();
  }

  static constexpr bool is_external = true;
  bool try_now() noexcept;
  void watch() noexcept { engine().start(*this); }
  void unwatch() noexcept { engine().cancel(*this); }
  bool lingers() const noexcept { return in_flight(); }
  static const wait_type type;

 private:
  short take_or_throw();
  static void on_completion(operation& op, const completion& done) noexcept;
  detail::poll_retries retries_;
};

}  // namespace ringlet::extend
