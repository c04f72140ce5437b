// settled and fail_with: await a call, and fail, without throwing.
//
// An exception that leaves a coroutine is rethrown in the one that awaits it, and each unwinding
// takes 2 microseconds. Coroutines that only pass errors on avoid that.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/returned.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/task.hpp>

#include <coroutine>
#include <exception>
#include <utility>

namespace ringlet::detail {

/// Runs a call, and leaves its value or its exception in its promise.
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

/// Makes `error` the outcome of the awaiting task, as if its body had thrown it. The body must then
/// end, by `co_return failed()` if the task has a result.
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
