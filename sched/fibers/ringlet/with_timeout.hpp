// with_timeout, timeout_or, move_on_after: a limit for a whole call, with any number of waits.
//
//     try {
//       const std::string page = co_await with_timeout(5s, fetch("index.html"));
//       show(page);
//     } catch (const timed_out&) {
//       show("too late");
//     }
//
//     const std::string weather = co_await timeout_or(1ms, ask_slowly("weather"), "unknown");
//     const bool was_saved = co_await move_on_after(1ms, save_slowly(weather));
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/awaited_call.hpp>
#include <ringlet/detail/settled.hpp>
#include <ringlet/detail/thrown.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/extend/timed_scope.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace ringlet {

/// A scope that is cancelled when its limit passes. Lives in the frame of the call that it limits;
/// with_timeout(limit, f) passes it to `f`. Limits nest: the one that passes first ends only what
/// is inside it.
///
/// Lifetime  Scopes of a fiber end in the reverse order of their begin: keep it in a local
///           variable, and not across a co_yield.
/// Thread    That of its fiber.
/// Memory    Its timer needs a place, which is reserved when it is made.
class deadline_scope : public extend::timed_scope {
 public:
  /// The limit counts from now. The scope covers what the running fiber calls until the scope is
  /// destroyed.
  explicit deadline_scope(time_limit timeout)
      : extend::timed_scope([](extend::timed_scope& due) noexcept { due.scope::cancel(); }) {
    set_limit(timeout);
  }

  /// Replaces the limit, counted from now: later, earlier, or forever. Any fiber of the thread may
  /// call it while the call lasts, for instance those of a when_all() inside. False if it is too
  /// late: the old limit has passed, and the call is being cancelled.
  bool extend(time_limit timeout) noexcept {
    check_thread("a limit was extended on a thread that is not its fiber's");
    if (extend::scope::is_cancelled()) return false;
    set_limit(timeout);
    return true;
  }
  /// Whether the limit has passed, so that the call is being cancelled.
  bool has_passed() const noexcept { return is_cancelled(); }
};

}  // namespace ringlet

namespace ringlet {

/// What with_timeout() calls: `f(deadline)` returns a task.
template <class F>
concept deadline_body = std::invocable<F&, deadline_scope&> &&
    detail::is_task<std::invoke_result_t<F&, deadline_scope&>>;

}  // namespace ringlet

namespace ringlet::detail {

template <class X>
concept no_limited_call = !awaited_call<X> && !deadline_body<X>;

inline std::exception_ptr late_error() noexcept {
  return std::make_exception_ptr(timed_out("with_timeout"));
}

inline bool is_from(const std::exception_ptr& error, const deadline_scope& deadline) noexcept {
  const cancelled* const reason = thrown_exactly<cancelled>(error);
  return reason != nullptr && reason->from(&deadline);
}

/// Awaits the call and returns its value, or true if the call has none and R is bool. If the limit
/// passes first, it returns the value of `late`, or fails with it if that is an exception. (Most
/// functions below call this coroutine instead of being coroutines. It does not throw: limits pass
/// by the thousand, and unwinding would cost more than everything else.)
template <class R, class T, class Late>
task<R> within(time_limit timeout, task<T> call, Late late) {
  std::exception_ptr error;
  {
    deadline_scope deadline(timeout);
    co_await settled<T>(call);
    error = call.promise().error();
    if (error == nullptr) {
      if constexpr (std::is_same_v<R, bool> && std::is_void_v<T>) {
        co_return true;
      } else {
        co_return call.promise().take();
      }
    }
    if (is_from(error, deadline)) error = nullptr;
  }
  if (error == nullptr) {
    if constexpr (std::is_same_v<std::invoke_result_t<Late&>, std::exception_ptr>) {
      error = late();
    } else {
      co_return late();
    }
  }
  co_await fail_with(std::move(error));
  if constexpr (!std::is_void_v<R>) co_return failed();
}

/// The same for a call that receives its deadline scope.
template <class R, class F>
task<R> call_within(time_limit timeout, F& f) {
  std::exception_ptr error;
  {
    deadline_scope deadline(timeout);
    task<R> call = f(deadline);
    co_await settled<R>(call);
    error = call.promise().error();
    if (error == nullptr) co_return call.promise().take();
    if (is_from(error, deadline)) error = late_error();
  }
  co_await fail_with(std::move(error));
  if constexpr (!std::is_void_v<R>) co_return failed();
}

/// The same for a wait, which itself throws the exception that ends it.
template <class R, extend::awaiter A>
task<R> wait_within(time_limit timeout, A& wait) {
  std::exception_ptr error;
  {
    deadline_scope deadline(timeout);
    try {
      co_return co_await std::move(wait);
    } catch (...) {
      error = std::current_exception();
    }
    if (is_from(error, deadline)) error = late_error();
  }
  co_await fail_with(std::move(error));
  if constexpr (!std::is_void_v<R>) co_return failed();
}

}  // namespace ringlet::detail

namespace ringlet {

/// Awaits `call` and returns its value. If the limit passes first, every wait inside throws
/// `cancelled` from then on, and with_timeout() throws timed_out.
///
/// An inner limit never swallows an outer one or a kill: those propagate. A call that finishes
/// although its limit has passed counts as finished: success wins. With a limit that has already
/// passed, the call still does what needs no waiting.
///
/// Errors    Those of the call; timed_out. If the call throws an error of its own after the limit
///           has passed, rather than `cancelled`, that error is thrown.
/// Cancellation  Loses what the call loses: read_some inside loses nothing, read_exact loses its
///           position.
/// Memory    The frame of the call.
template <class T>
task<T> with_timeout(time_limit timeout, task<T> call) {
  return detail::within<T>(timeout, std::move(call), detail::late_error);
}

template <class T>
borrowing_task<T> with_timeout(time_limit timeout, borrowing_task<T> call) {
  return with_timeout(timeout, static_cast<task<T>&&>(call));
}

/// The same for one wait, such as `with_timeout(1s, stream.receive())`.
/// Lifetime  Borrows the wait; await it in the same expression. (A wait held in a variable does not
///           compile.)
template <extend::awaiter A>
auto with_timeout(time_limit timeout, A&& call)
    -> borrowing_task<std::remove_cvref_t<decltype(std::declval<A&>().await_resume())>> {
  using value = std::remove_cvref_t<decltype(call.await_resume())>;
  return detail::wait_within<value>(timeout, call);
}

/// Calls `f(deadline)`, which returns a task: the call may check its limit and extend it. Otherwise
/// as above.
/// Lifetime  Borrows `f`; await it in the same expression. With g++ 12 name a capturing lambda
///           first: the compiler destroys such temporaries twice inside a co_await expression (GCC
///           bug 100611).
template <deadline_body F>
auto with_timeout(time_limit timeout, F&& f)
    -> borrowing_task<typename std::invoke_result_t<F&, deadline_scope&>::value_type> {
  detail::check_temporary<F>();
  using value = typename std::invoke_result_t<F&, deadline_scope&>::value_type;
  return detail::call_within<value>(timeout, f);
}

// For calls that do not compile. The deduced return type forces the static_assert that says why.
template <class X>
requires detail::no_limited_call<X>
auto with_timeout(time_limit, X&&) { return detail::explain_no_call<X>(); }

/// Like with_timeout(), but returns `otherwise` if the limit passes first.
///
/// Errors    Those of the call. A timed_out that the call itself throws is an error like any other.
/// Cancellation  Loses what the call loses.
template <class T, std::convertible_to<T> U>
task<T> timeout_or(time_limit timeout, task<T> call, U otherwise) {
  return detail::within<T>(
      timeout, std::move(call),
      [value = std::move(otherwise)]() mutable -> U&& { return std::move(value); });
}

/// The same for one wait, such as `timeout_or(1s, replies.pop(), none)`.
/// Lifetime  Borrows the wait; await it in the same expression.
template <detail::wait_call A, std::convertible_to<detail::value_of_call<A>> U>
auto timeout_or(time_limit timeout, A&& call, U otherwise)
    -> borrowing_task<detail::value_of_call<A>> {
  return timeout_or(timeout, detail::task_of(std::forward<A>(call)), std::move(otherwise));
}

// For calls that do not compile.
template <detail::no_call X, class U>
auto timeout_or(time_limit, X&&, U&&) {
  return detail::explain_no_call<X>();
}

/// Like with_timeout(), but returns false, or no value, if the limit passed first.
///
/// Errors    Those of the call. A timed_out that the call itself throws is an error like any other.
/// Cancellation  Loses what the call loses.
inline task<bool> move_on_after(time_limit timeout, task<> call) {
  return detail::within<bool>(timeout, std::move(call), [] { return false; });
}
template <class T>
requires(!std::is_reference_v<T>) task<std::optional<T>> move_on_after(time_limit timeout,
                                                                       task<T> call) {
  return detail::within<std::optional<T>>(timeout, std::move(call),
                                          [] { return std::optional<T>(); });
}

/// The same for one wait, such as `move_on_after(1s, worker.join())`.
/// Lifetime  Borrows the wait; await it in the same expression.
template <detail::wait_call A>
auto move_on_after(time_limit timeout, A&& call) {
  return borrowing_task(move_on_after(timeout, detail::task_of(std::forward<A>(call))));
}

// For calls that do not compile.
template <detail::no_call X>
auto move_on_after(time_limit, X&&) {
  return detail::explain_no_call<X>();
}

}  // namespace ringlet
