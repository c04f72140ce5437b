// as_result: returns the outcome of a call as a result<T> instead of throwing.
//
//     const result<std::size_t> count = co_await as_result(stream.read_some(memory, 1s));
//     if (!count && count.error() != errc::timed_out) co_return;
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/awaited_call.hpp>
#include <ringlet/extend/result_awaiter.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>

#include <system_error>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

template <class A>
concept loud_wait = wait_call<A> && !extend::quiet_awaiter<std::remove_reference_t<A>>;

}  // namespace ringlet::detail

namespace ringlet {

/// `co_await as_result(stream.read_some(memory))` returns a result<T>: the value, or the error from
/// the outside world (reset, refused, timed out, ...) that the plain call would throw. No exception
/// is thrown internally. Only the code of the error remains: a text that names what failed with
/// what, as that of connect() does, is lost, and value() throws a std::system_error of the code.
///
/// Errors    In the result. Other exceptions than std::system_error propagate.
/// Cancellation  `cancelled` is not an error and propagates. What is lost depends on the call.
/// Lifetime  Borrows the call; await it in the same expression. (A wait held in a variable does not
///           compile.)
template <class A>
requires extend::quiet_awaiter<std::remove_reference_t<A>>
[[nodiscard]] extend::result_awaiter<std::remove_reference_t<A>> as_result(A&& call) noexcept {
  return extend::result_awaiter<std::remove_reference_t<A>>(call);
}

/// The same for a task: a std::system_error that it throws becomes the error of the result. Every
/// other exception propagates.
template <class T>
[[nodiscard]] task<result<T>> as_result(task<T> call) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await call;
      co_return result<void>();
    } else {
      co_return result<T>(co_await call);
    }
  } catch (const std::system_error& error) {
    co_return result<T>(error.code());
  }
}
template <class T>
[[nodiscard]] borrowing_task<result<T>> as_result(borrowing_task<T> call) {
  return as_result(static_cast<task<T>&&>(call));
}
/// The same for a wait of your own that has no take().
template <detail::loud_wait A>
auto as_result(A&& call) -> borrowing_task<result<detail::value_of_call<A>>> {
  return as_result(detail::task_of(std::forward<A>(call)));
}

// For calls that do not compile. The deduced return type forces the static_assert that says why.
template <detail::no_call X>
auto as_result(X&&) {
  return detail::explain_no_call<X>();
}

}  // namespace ringlet
