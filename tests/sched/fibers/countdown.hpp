// countdown: fibers wait until it has come to zero. Made in docs/writing_a_wait.md, step by step.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/error.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <string>

namespace ringlet {

/// Thread: the one of the fibers that wait for the countdown.
class countdown {
 public:
  explicit countdown(std::size_t count) noexcept : left_(count) {}
  countdown(const countdown&) = delete;
  countdown& operator=(const countdown&) = delete;
  ~countdown() {
    extend::list_wait::end_orphans(waiters_,
                                   "a countdown was destroyed while a fiber waited for it");
  }

  std::size_t left() const noexcept { return left_; }
  void count_down() noexcept {
    if (left_ == 0 || --left_ != 0) return;
    while (!waiters_.empty()) waiters_.front().complete();
  }

  class zero_wait;
  /// Waits until the countdown is zero. Returns true, or false when the limit passed first.
  /// Cancellation loses nothing.
  zero_wait wait(time_limit timeout = forever) noexcept;

 private:
  std::size_t left_;
  extend::wait_list waiters_;
};

class [[nodiscard]] countdown::zero_wait : public extend::list_wait {
 public:
  zero_wait(countdown& on, time_limit timeout) noexcept : extend::list_wait(timeout), on_(&on) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<bool> take() {
    rethrow_interruption();
    if (reason_ == extend::cancel_reason::closed) return cancellation_error();
    return reason_ == extend::cancel_reason::none;
  }
  bool await_resume() {
    const result<bool> came = take();
    if (!came) throw_error(came.error(), "countdown");
    return *came;
  }

  bool try_now() noexcept { return on_->left_ == 0; }
  void watch() noexcept { on_->waiters_.push_back(*this); }
  void describe(std::string& out) const { out += "with " + std::to_string(on_->left_) + " to go"; }
  static const extend::wait_type type;

 private:
  countdown* on_;
};

inline const extend::wait_type countdown::zero_wait::type = make_type<zero_wait>("countdown");

inline countdown::zero_wait countdown::wait(time_limit timeout) noexcept {
  return {*this, timeout};
}

}  // namespace ringlet
