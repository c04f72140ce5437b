// when_all and when_any: run several calls at once, as children of the fiber that awaits them.
//
//     const auto [name, orders] = co_await when_all(name_of(7), orders_of(7));
//     show(name, orders);
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/awaited_call.hpp>
#include <ringlet/extend/ended_fibers.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/value_or_unit.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

/// What when_any() returns.
template <class... T>
struct any_of {
  /// Which of the calls ended first.
  std::size_t index;
  /// All calls. All have ended; result(), value() and error() tell how. The losers were cancelled,
  /// but a call may have succeeded anyway; its value is kept.
  std::tuple<fiber<T>...> calls;
};

}  // namespace ringlet

namespace ringlet::detail {

template <class T>
value_or_unit<T> move_value_out(fiber_state<T>& ended) {
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return ended.value().move_out();
  }
}

/// The failures that when_all() does not throw.
void report_all_but_first(const group_error& error) noexcept;

template <class... Calls>
concept waits_among_calls = (awaited_call<Calls> && ...) && (wait_call<Calls> || ...);
template <class... Calls>
concept not_only_calls = (no_call<Calls> || ...);

/// A lock belongs to the fiber that locks, and the fiber of a call ends before its value is used.
template <class Call>
constexpr void check_is_no_lock() {
  static_assert(
      !requires(value_of_call<Call> & value) { value.unlock(); },
      "a lock belongs to the fiber that locks, and each call here runs in a fiber of its "
      "own: lock in the calling fiber, one lock after another");
}

template <class... T>
task<std::tuple<fiber<T>...>> spawn_all(task_group& group, task<T>&... calls) {
  co_return std::tuple<fiber<T>...>{group.spawn(std::move(calls))...};
}

template <class... T>
task<any_of<T...>> spawn_and_take_first(task_group& group, task<T>&... calls) {
  std::tuple<fiber<T>...> all{group.spawn(std::move(calls))...};
  std::vector<extend::fiber_base*> targets;
  std::apply([&](auto&... one) { (targets.push_back(&one.state()), ...); }, all);
  extend::ended_fibers ends(targets);
  const std::optional<std::size_t> first = co_await ends.next();
  group.cancel();
  co_return any_of<T...>{*first, std::move(all)};
}

}  // namespace ringlet::detail

namespace ringlet {

/// Runs all the calls at once, each in a fiber of its own, and returns a tuple of their values,
/// with std::monostate for void. The first call that fails cancels the other calls.
///
/// Errors    When all have ended, the exception of the first that failed. The exceptions of the
///           other calls are reported; see options::on_unhandled_error. errc::fiber_cancelled if a
///           call was killed.
/// Cancellation  An interruption of the caller ends the calls first. Their values are lost.
/// Thread    That of the calling fiber.
/// Memory    A fiber for each call.
template <class... T>
requires(sizeof...(T) > 0) task<std::tuple<value_or_unit<T>...>> when_all(task<T>... calls) {
  std::optional<std::tuple<fiber<T>...>> all;
  try {
    all.emplace(
        co_await detail::run_group<std::tuple<fiber<T>...>>(detail::spawn_all<T...>, calls...));
  } catch (const group_error& error) {
    detail::report_all_but_first(error);
    std::rethrow_exception(error.errors().front());
  }
  co_return std::apply(
      [](auto&... one) {
        ((one.result() != outcome::value ? detail::throw_failure(one.state()) : void()), ...);
        return std::tuple<value_or_unit<T>...>{detail::move_value_out(one.state())...};
      },
      *all);
}

/// The same with waits among the calls: `co_await when_all(inbox.pop(), ready.wait())`.
/// Cancellation  As above: an item that pop() has taken is lost when another call fails.
/// Lifetime  Borrows the waits; await it in the same expression.
template <class... Calls>
requires detail::waits_among_calls<Calls...>
auto when_all(Calls&&... calls)
    -> borrowing_task<std::tuple<value_or_unit<detail::value_of_call<Calls>>...>> {
  (detail::check_is_no_lock<Calls>(), ...);
  return when_all(detail::task_of(std::forward<Calls>(calls))...);
}

// For calls that do not compile. The deduced return type forces the static_assert that says why.
template <class... Calls>
requires detail::not_only_calls<Calls...>
auto when_all(Calls&&...) {
  (detail::explain_no_call<Calls>(), ...);
  return std::suspend_never();
}

/// Runs all the calls at once, each in a fiber of its own. When the first has ended, in any way,
/// cancels the other calls. When all have ended, returns which was first and the outcome of every
/// call.
///
///     const auto first = co_await when_any(ask("a", 1ms), ask("b", 1h));
///     if (first.index == 0) show(std::get<0>(first.calls).value());
///
/// Errors    None: failures of the calls are outcomes.
/// Cancellation  An interruption of the caller ends the calls first. Their values are lost.
/// Thread    That of the calling fiber.
/// Memory    A fiber for each call.
template <class... T>
requires(sizeof...(T) > 0) task<any_of<T...>> when_any(task<T>... calls) {
  co_return co_await detail::run_group<any_of<T...>, task_group::failures::are_outcomes>(
      detail::spawn_and_take_first<T...>, calls...);
}

/// The same with waits among the calls. To take exactly one of several waits, and nothing from the
/// rest, use select(), which also needs no fibers.
/// Lifetime  Borrows the waits; await it in the same expression.
template <class... Calls>
requires detail::waits_among_calls<Calls...>
auto when_any(Calls&&... calls) -> borrowing_task<any_of<detail::value_of_call<Calls>...>> {
  (detail::check_is_no_lock<Calls>(), ...);
  return when_any(detail::task_of(std::forward<Calls>(calls))...);
}

// For calls that do not compile.
template <class... Calls>
requires detail::not_only_calls<Calls...>
auto when_any(Calls&&... calls) { return when_all(std::forward<Calls>(calls)...); }

}  // namespace ringlet
