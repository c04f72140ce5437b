// result_awaiter: what as_result() returns for a wait.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/awaiter.hpp>

#include <coroutine>

namespace ringlet::extend {

/// An awaiter that can return an error without throwing. All awaiters of the library can.
template <class A>
concept quiet_awaiter = awaiter<A> && requires(A a) {
  a.take();
};

/// Returns what A::take() returns; see as_result().
template <quiet_awaiter A>
class result_awaiter {
 public:
  explicit result_awaiter(A& inner) noexcept : inner_(&inner) {}
  bool await_ready() noexcept { return inner_->await_ready(); }
  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> caller) {
    return inner_->await_suspend(caller);
  }
  auto await_resume() { return inner_->take(); }
  auto take() { return inner_->take(); }

 private:
  A* inner_;
};

}  // namespace ringlet::extend
