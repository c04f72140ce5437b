// awaiter: what a task may co_await besides a task.
// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <utility>

namespace ringlet::extend {

/// A type whose await_* functions allow `co_await` in a task.
template <class A>
concept awaiter = requires(A a) {
  a.await_ready();
  a.await_resume();
};
/// Awaits an awaiter that lives in the caller's full expression. By value and by pointer: g++ 12
/// copies awaiters that await_transform returns by reference.
template <class A>
class borrowed_awaiter {
 public:
  explicit borrowed_awaiter(A& inner) noexcept : inner_(&inner) {}
  decltype(auto) await_ready() noexcept(noexcept(std::declval<A&>().await_ready())) {
    return inner_->await_ready();
  }
  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> caller) {
    return inner_->await_suspend(caller);
  }
  decltype(auto) await_resume() { return inner_->await_resume(); }

 private:
  A* inner_;
};

}  // namespace ringlet::extend
