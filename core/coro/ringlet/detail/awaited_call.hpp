// awaited_call: an argument that is a call, a task or a wait, and the compile-time messages for
// arguments that are neither.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/awaiter.hpp>
#include <ringlet/task.hpp>

#include <coroutine>
#include <iterator>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

template <class A>
concept wait_call = extend::awaiter<std::remove_reference_t<A>>;

/// What co_await accepts, as an argument: a task is moved, a wait is borrowed.
template <class A>
concept awaited_call = wait_call<A> || is_task<A>;

template <class A>
using value_of_wait = std::remove_cvref_t<decltype(std::declval<A&>().await_resume())>;

/// A wait as a task. The wait must live until the task has ended.
template <class A>
task<value_of_wait<A>> task_of_wait(A& wait) {
  co_return co_await std::move(wait);
}

template <class T>
task<T>&& task_of(task<T>&& call) noexcept {
  return std::move(call);
}
template <wait_call A>
task<value_of_wait<A>> task_of(A&& wait) {
  return task_of_wait(wait);
}
template <class A>
using value_of_call =
    typename std::remove_cvref_t<decltype(task_of(std::declval<A>()))>::value_type;

template <class A>
concept no_call = !awaited_call<A>;
template <class X>
concept fiber_handle = requires(X& handle) {
  handle.join();
  handle.get();
};
template <class X>
concept container = requires(X& items) {
  std::begin(items);
};

/// Explains at compile time why an argument is no call. Can be awaited, so that there is one error.
template <class X>
constexpr std::suspend_never explain_no_call() {
  using given = std::remove_reference_t<X>;
  static_assert(awaited_call<X> || !is_task<std::remove_cv_t<given>>,
                "a task is a call that is made once: write std::move(call)");
  static_assert(!fiber_handle<given>,
                "a fiber is not a call: write f.get() for its value and its error, or f.join() for "
                "its end");
  static_assert(!container<given>, "a container is not a call: spawn its tasks in a with_group()");
  static_assert(awaited_call<X> || is_task<std::remove_cv_t<given>> || fiber_handle<given> ||
                    container<given>,
                "this is neither a task nor a wait: call the function that returns one, as in "
                "with_timeout(1s, fetch())");
  return {};
}

/// The same where a wait is not accepted either.
template <class X>
constexpr void explain_no_task() {
  using given = std::remove_cvref_t<X>;
  static_assert(!wait_call<given>,
                "a wait is not a task: write a function that returns task<> and awaits it, and "
                "call that function here");
  static_assert(!is_task<given>, "a task is a call that is made once: write std::move(call)");
  static_assert(wait_call<given> || is_task<given>,
                "this is not a task: call the function that returns it, as in run_main(serve())");
}

}  // namespace ringlet::detail
