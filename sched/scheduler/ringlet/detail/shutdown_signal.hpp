// shutdown_signal: the signal that ends a run, and the fibers that wait for it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/intrusive_list.hpp>

#include <atomic>

namespace ringlet::extend {

class list_wait;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// See shutdown_requested(). Thread: the scheduler's; only the watched number is set elsewhere, by
/// a signal handler.
class shutdown_signal {
 public:
  /// Sets the number that every turn reads; non-zero is a signal.
  void watch(const std::atomic<int>& number) noexcept { number_ = &number; }
  bool is_watched() const noexcept { return number_ != nullptr; }
  /// The signal that has arrived, or 0. Returns only the first signal, and then stops watching.
  int take() noexcept {
    const int number = number_->load(std::memory_order_relaxed);
    if (number != 0) number_ = nullptr;
    return number;
  }

  /// From now on a signal is a request to end; see shutdown_requested().
  void expect_request() noexcept { expected_->store(true, std::memory_order_relaxed); }
  bool is_request_expected() const noexcept { return expected_->load(std::memory_order_relaxed); }
  /// Uses one mark for all schedulers of a runtime.
  void share_expectation(std::atomic<bool>& of_runtime) noexcept { expected_ = &of_runtime; }
  bool has_request() const noexcept { return has_request_; }
  void add_waiter(extend::list_wait& waiter) noexcept;
  bool has_waiters() const noexcept { return !waiters_.empty(); }
  /// Called when the request has arrived: ends the waits.
  void request() noexcept;

 private:
  const std::atomic<int>* number_ = nullptr;
  extend::intrusive_list<extend::list_wait> waiters_;
  std::atomic<bool> is_expected_ = false;
  std::atomic<bool>* expected_ = &is_expected_;
  bool has_request_ = false;
};

}  // namespace ringlet::detail
