// run_on: calls a function on another scheduler, and waits for what it returns.
//
//     task<int> stock_of(std::string item) {
//       const std::size_t owner = std::hash<std::string>()(item) % scheduler_count();
//       co_return co_await run_on(owner, count_of, item);  // calls count_of(item) there
//     }
//
// Fibers stay on the scheduler that they were spawned on. Work moves to where its data is, and its
// result comes back. No lock is needed, because only one thread uses the data.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/located.hpp>
#include <ringlet/extend/run_on_wait.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/spawnable.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace ringlet {

/// How many schedulers this thread's runtime has; 1 without a runtime. They are numbered from 0.
/// Aborts outside of run().
std::size_t scheduler_count() noexcept;
/// The number of this thread's scheduler in its runtime; 0 without one. Aborts outside of run().
std::size_t scheduler_index() noexcept;

}  // namespace ringlet

namespace ringlet::detail {

template <class F, class... Args>
constexpr void check_remote_call() {
  using result = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
  static_assert(is_task<result> || !is_unawaited<result>,
                "the function returns a wait, which would never run: write a function that awaits "
                "it and returns a task");
  check_temporary<F>();
}

}  // namespace ringlet::detail

namespace ringlet {

/// Calls `f(args...)` on the scheduler `k`, and returns its value or rethrows its exception. `k` is
/// a number below scheduler_count(), or a scheduler_handle. If `f` returns a task, it runs there as
/// a fiber; any other function is called there between fibers, and must not block. `f` and `args`
/// are copied or moved, used and destroyed there: pass std::ref() only to what that thread may use.
/// dump() shows where the call was made.
///
/// Errors    The exception of `f`. errc::closed if one of the two schedulers has begun to end its
///           fibers; a call inside a shield() is made all the same, and so is a call by a fiber of
///           a group that was opened inside. errc::fiber_cancelled if the callee was killed by
///           another fiber, or by the end of its scheduler. std::bad_alloc.
/// Cancellation  A kill or an expired limit kills the callee, and the wait ends when the callee has
///           ended. Success wins: a callee that returned a value has its value delivered. A shield
///           around the call protects the callee, too, until the shield's limit passes. A call
///           that has not begun is not made. So a limit does not protect from a scheduler whose
///           thread does not respond: the wait ends only when that thread has run again.
/// Lifetime  The callee never outlives the call.
/// Thread    Any fiber's. Aborts if there is no scheduler with that number.
/// Memory    A call by number allocates only what the callee needs. A full mailbox does not refuse
///           it.
/// With g++ 12, first name a capturing lambda and pass it as an lvalue: the compiler destroys such
/// temporaries twice inside a co_await expression (GCC bug 100611).
template <class F, class... Args>
requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    extend::run_on_wait<std::decay_t<F>, std::decay_t<Args>...> run_on(
        extend::located<std::size_t> k, F&& f, Args&&... args) {
  detail::check_remote_call<F, Args...>();
  return extend::run_on_wait<std::decay_t<F>, std::decay_t<Args>...>(
      detail::call_target::at(k.value), k.where, std::forward<F>(f), std::forward<Args>(args)...);
}
template <class F, class... Args>
requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    extend::run_on_wait<std::decay_t<F>, std::decay_t<Args>...> run_on(
        extend::located<const scheduler_handle&> k, F&& f, Args&&... args) {
  detail::check_remote_call<F, Args...>();
  return extend::run_on_wait<std::decay_t<F>, std::decay_t<Args>...>(
      k.value.target(), k.where, std::forward<F>(f), std::forward<Args>(args)...);
}

/// Calls `f(k)`, or `f()`, on every scheduler of this thread's runtime, also on this one, and waits
/// for all of them. Several threads call the same `f` at once, as a const object, so it must not
/// change anything that they share. `f` returns a task or nothing.
///
/// Errors    The first exception, in the order of the schedulers, when all calls have ended;
///           further ones go to options::on_unhandled_error. Otherwise as run_on().
/// Cancellation  As run_on(), for each call.
/// Memory    One block for all calls.
template <class F>
extend::run_on_all_wait<F> run_on_all(
    F&& f, std::source_location where = std::source_location::current()) noexcept {
  detail::check_temporary<F>();
  return extend::run_on_all_wait<F>(std::forward<F>(f), where);
}

}  // namespace ringlet
