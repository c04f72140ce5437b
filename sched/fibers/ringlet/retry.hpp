// retry: repeats a call that failed, after pauses that grow.
//
//     const auto fetch = [&] { return fetch_page(server); };
//     const page found = co_await retry({.attempts_max = 4, .budget = 10s}, fetch);
//
// To keep a service running however often it fails, use supervise().
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/cancelled.hpp>
#include <ringlet/detail/back_off.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/spawnable.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>
#include <ringlet/with_timeout.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

namespace ringlet {

/// How often retry() makes a call, and how long it pauses in between.
struct retry_policy {
  /// At most this many calls, including the first.
  std::size_t attempts_max = 5;
  /// How long retry() may take in total, including what the calls wait for: permits, connections,
  /// answers. A call that runs when the budget is used up is ended as by with_timeout(), and a
  /// pause that would last longer is not begun.
  time_limit budget = forever;
  /// The first pause, if it is no longer than `pause_max`. Each further pause is `growth` times as
  /// long as the one before, until they are as long as `pause_max`. Then `jitter` shortens each.
  std::chrono::nanoseconds pause_first = std::chrono::milliseconds(100);
  /// The longest pause, also for the first; nanoseconds::max() for no limit.
  std::chrono::nanoseconds pause_max = std::chrono::seconds(10);
  /// From 1 to 10^9. With 1, all pauses are as long as the first.
  double growth = 2;
  /// The part of each pause that is random, so that many clients that failed together do not come
  /// back together: with 0.5, a pause of 100 ms becomes one of 50 to 100 ms; 0 is exact.
  double jitter = 0.5;
};

/// What retry() tells its hook before a pause.
struct retry_event {
  /// The number of the call that failed, from 1.
  std::size_t attempt;
  /// What that call threw. Valid during the call of the hook.
  const std::exception_ptr& error;
  /// How long retry() is about to pause.
  std::chrono::nanoseconds pause;
};

/// Whether the error is a std::system_error, the type of all errors from the outside world. retry()
/// repeats calls that failed with one of these, unless it is given another function.
bool is_system_error(const std::exception_ptr& error) noexcept;

/// What retry() asks about an error: whether it is worth another attempt.
template <class Decide>
concept retry_decision = requires(std::decay_t<Decide>& decide, const std::exception_ptr& error) {
  { std::invoke(decide, error) } -> std::convertible_to<bool>;
};

/// What retry() calls before a pause.
template <class Hook>
concept retry_hook = requires(std::decay_t<Hook>& hook, const retry_event& event) {
  std::invoke(hook, event);
};

/// The hook of a retry() that is given none.
struct no_retry_hook {
  /// Does nothing.
  void operator()(const retry_event&) const noexcept {}
};

}  // namespace ringlet

namespace ringlet::detail {

template <class F, class Decide, class Hook>
std::invoke_result_t<F&> retry_call(F f, retry_policy policy, Decide decide, Hook hook) {
  back_off pauses(policy);
  for (;;) {
    std::exception_ptr error;
    try {
      if (pauses.is_limited()) co_return co_await with_timeout(pauses.limit(), std::invoke(f));
      co_return co_await std::invoke(f);
    } catch (const cancelled&) {
      throw;
    } catch (...) {
      error = std::current_exception();
    }
    if (!pauses.next() || !std::invoke(decide, error)) std::rethrow_exception(error);
    std::invoke(hook, retry_event{pauses.attempts(), error, pauses.pause()});
    co_await sleep(pauses.pause());
  }
}

}  // namespace ringlet::detail

namespace ringlet {

/// Calls `f()`, which returns a task, and awaits it. If the call fails with an error that is worth
/// another attempt, retry() pauses and calls `f()` again, until a call succeeds, the policy allows
/// no more, or another error comes. Returns the value of the call that succeeded, or throws the
/// error of the last one. An answer that is lost after the request was sent is an error like any
/// other, so repeat only requests that may be executed twice.
///
/// `decide(error)` says which errors are worth another attempt; `hook(event)` is called before each
/// pause, with the number of the call, its error and the pause.
///
///     const auto always = [](const std::exception_ptr&) { return true; };
///     const auto log = [](const retry_event& event) { show(event.attempt); };
///     const retry_policy thrice{.attempts_max = 3, .pause_first = 1ms};
///     co_await retry(thrice, fetch, always, log);
///
/// With g++ 12, first name callables that have a destructor; see with_timeout().
///
/// Errors    That of the last call; timed_out if the budget ended the last call.
///           std::invalid_argument if a value of the policy is out of range: attempts_max is at
///           least 1, growth from 1 to 10^9, the pauses at least 0, and jitter from 0 to 1.
/// Cancellation  Loses what the call loses. Kills and cancelled scopes are not failures and
///           propagate at once; an exception that the fiber is killed with is a failure like any
///           other.
/// Lifetime  The callables are copied. What they refer to must outlive the call.
/// Memory    The frame of the call.
template <spawnable F, retry_decision Decide = bool (*)(const std::exception_ptr&),
          retry_hook Hook = no_retry_hook>
auto retry(retry_policy policy, F&& f, Decide&& decide = &is_system_error, Hook&& hook = {})
    -> std::invoke_result_t<std::decay_t<F>&> {
  detail::check_temporary<F>();
  detail::check_temporary<Decide>();
  detail::check_temporary<Hook>();
  return detail::retry_call<std::decay_t<F>, std::decay_t<Decide>, std::decay_t<Hook>>(
      std::forward<F>(f), policy, std::forward<Decide>(decide), std::forward<Hook>(hook));
}

}  // namespace ringlet
