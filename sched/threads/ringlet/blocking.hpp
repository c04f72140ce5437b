// blocking: runs a call that has no asynchronous form on another thread.
#pragma once

#include <ringlet/detail/blocking_pool.hpp>
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

  F function_;  // a reference when an lvalue was given
  std::optional<stored> value_;
  std::exception_ptr error_;
};

}  // namespace ringlet::extend

namespace ringlet {

/// Calls `f()` on a worker thread, and returns its value or rethrows its exception. The other
/// fibers of this thread keep running. At most blocking_pool::threads_max calls run at once in a
/// process; further calls wait in line. `f` must not use this thread's scheduler, and must not
/// return a task or another awaitable.
///
/// Signals: workers block all signals except SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT and
/// SIGSYS, so a crash in `f` reaches the program's handler.
/// End of the program: run() returns when the calls of its fibers have ended. exit(), and a return
/// from main(), does not wait for calls of other threads: their `f` then runs while static objects
/// are destroyed, and is cut off when the process ends.
/// fork(): the workers stay with the parent. See run.hpp.
/// Errors: the exception of `f`; std::system_error if there is no worker thread and none can be
/// started.
///
/// Cancellation: a call that has not begun is not made. A running call cannot be stopped: the wait
/// ends when the call does, and success wins. The same holds for the limit (timed_out).
/// With g++ 12, first name a capturing lambda and pass it as an lvalue: the compiler destroys such
/// temporaries twice inside a co_await expression (GCC bug 100611).
template <class F>
extend::blocking_wait<F> blocking(F&& f, time_limit timeout = forever) noexcept {
  static_assert(!detail::is_unawaited<std::invoke_result_t<F&>>,
                "blocking() was given a function that makes a task or a wait, which would never "
                "run: await that in this fiber, or call run() in the function");
  detail::check_temporary<F>();
  return extend::blocking_wait<F>(std::forward<F>(f), timeout);
}

}  // namespace ringlet
