// condition_wait, predicate_wait: what wait() of a condition returns to co_await.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/lock_base.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>

namespace ringlet::extend {

/// A wait has three parts. It is in the list of the condition until it is notified, out of time or
/// killed; then in the line of the lock, or about to be moved there; and when it is given the lock,
/// it is over, or goes back to the condition because its predicate is false.
class [[nodiscard]] condition_wait : public detail::lock_base::waiter {
 public:
  condition_wait(condition& on, time_limit timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return begin(caller.promise());
  }
  /// False if the limit passed first and nothing else ended it.
  result<bool> take() { return await_resume(); }
  bool await_resume() {
    rethrow_interruption();
    if (error_ != nullptr) std::rethrow_exception(error_);
    return is_true_;
  }

  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  const fiber_base* holder() const noexcept;
  static const wait_type type;

 protected:
  using predicate = bool (*)(condition_wait&);

  condition_wait(condition& on, time_limit timeout, predicate is_true) noexcept;

 private:
  bool begin(frame_record& at);
  void wait_in_condition() noexcept;
  void leave_condition() noexcept;
  /// Joins the line of the lock.
  void want_lock_back() noexcept;
  bool is_in_condition() const noexcept;
  bool is_over() noexcept;
  static bool on_given_lock(waiter& given) noexcept;

  friend class ringlet::condition;
  condition* from_;
  predicate predicate_ = nullptr;
  std::exception_ptr error_;  // that the predicate threw
  std::uint32_t round_ = 0;
  std::uint32_t depth_ = 0;  // how often the fiber had locked the lock
  bool in_condition_ = false;
  bool ends_slice_ = false;
  bool is_late_ = false;  // the limit passed in the line of the lock
  bool is_true_ = false;
};

template <class F>
class [[nodiscard]] predicate_wait : public condition_wait {
 public:
  predicate_wait(condition& on, F& is_true, time_limit timeout) noexcept
      : condition_wait(on, timeout, &predicate_wait::ask), is_true_(std::addressof(is_true)) {}

 private:
  static bool ask(condition_wait& asked) {
    return static_cast<bool>((*static_cast<predicate_wait&>(asked).is_true_)());
  }

  std::remove_reference_t<F>* is_true_;
};

}  // namespace ringlet::extend
