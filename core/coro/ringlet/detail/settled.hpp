// settled and fail_with: how a coroutine of the library awaits a call, and fails, without throwing.
//
// An error that is thrown out of a coroutine is thrown anew by the one that awaits it, and
// unwinding takes 2 microseconds each time. What only passes errors on has no need for it.
#pragma once

#include <ringlet/detail/returned.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/task.hpp>

#include <coroutine>
#include <exception>
#include <utility>

namespace ringlet::detail {

/// Runs a call, and leaves its value or its error in its promise.
template <class T>
class settled {
 public:
  explicit settled(task<T>& call) noexcept : callee_(call.promise_to_start()) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) const noexcept {
    return task_awaiter<T>(callee_).await_suspend(caller);
  }
  void await_resume() const noexcept {}

 private:
  task_promise<T>* callee_;
};

/// Ends the coroutine of a task with that exception, as if it had thrown it: what follows is the
/// end of its body, or `co_return failed()` if it should return a value.
class fail_with {
 public:
  explicit fail_with(std::exception_ptr error) noexcept : error_(std::move(error)) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
    self.promise().fail(std::move(error_));
    return false;
  }
  void await_resume() const noexcept {}

 private:
  std::exception_ptr error_;
};

}  // namespace ringlet::detail
