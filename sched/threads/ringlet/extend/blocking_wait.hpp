// The wait that blocking() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/result.hpp>

#include <coroutine>
#include <exception>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace ringlet::extend {

/// The part of blocking() that does not depend on the function.
class blocking_wait_base : public wait_base, protected blocking_job {
 public:
  void on_cancel(cancel_reason reason) noexcept;

 protected:
  explicit blocking_wait_base(time_limit timeout) noexcept : wait_base(timeout) {}

  bool begin(frame_record& at);
  /// Throws if an interruption kept the call from being made; false if the limit did.
  bool call_was_made();

 private:
  static void on_answer(posted_work& job) noexcept;
  static const wait_type type;
  bool withdrawn_ = false;
};

/// See blocking().
template <class F>
class [[nodiscard]] blocking_wait : public blocking_wait_base {
  using value = std::invoke_result_t<F&>;
  static constexpr bool is_void = std::is_void_v<value>;
  using stored = std::conditional_t<is_void, std::monostate, value>;

 public:
  blocking_wait(F&& function, time_limit timeout) noexcept
      : blocking_wait_base(timeout), function_(std::forward<F>(function)) {
    work = &blocking_wait::make_call;
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return begin(caller.promise());
  }
  /// Like await_resume(), but a std::system_error that the call threw becomes the error of the
  /// result.
  result<value> take() {
    if (!call_was_made()) return make_error_code(errc::timed_out);
    try {
      if (error_) std::rethrow_exception(error_);
    } catch (const std::system_error& error) {
      return error.code();
    }
    if constexpr (is_void) {
      return {};
    } else {
      return std::move(*value_);
    }
  }
  value await_resume() {
    if (!call_was_made()) throw timed_out("blocking call");
    if (error_) std::rethrow_exception(error_);
    if constexpr (!is_void) return std::move(*value_);
  }

 private:
  static void make_call(blocking_job& job) noexcept {
    auto& self = static_cast<blocking_wait&>(job);
    try {
      if constexpr (is_void) {
        self.function_();
      } else {
        self.value_.emplace(self.function_());
      }
    } catch (...) {
      self.error_ = std::current_exception();
    }
  }

  F function_;  // a reference if an lvalue was passed
  std::optional<stored> value_;
  std::exception_ptr error_;
};

}  // namespace ringlet::extend
