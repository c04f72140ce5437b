// spawn_after and spawn_every: fibers that begin later, once or repeatedly.
//
//     const fiber<> reminder = spawn_after(20ms, remind, "tea");
//     const fiber<> clock = spawn_every(5ms, tick);
//     co_await reminder.join();
//     co_await clock.kill();
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/fiber.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/spawnable.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <chrono>
#include <concepts>
#include <functional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace ringlet {

/// A time from now, and the call site. Converts from durations and, for spawn_after(), from
/// std::chrono::steady_clock::time_point.
class spawn_time {
 public:
  /// A time from now: zero and less is the next turn.
  template <class Rep, class Period>
  spawn_time(std::chrono::duration<Rep, Period> time,
             std::source_location where = std::source_location::current()) noexcept
      : when_(time), where_(where) {}
  /// A point in time of now().
  spawn_time(std::chrono::steady_clock::time_point time,
             std::source_location where = std::source_location::current()) noexcept
      : when_(time), where_(where) {}

  /// The time, as it was given.
  const time_limit& when() const noexcept { return when_; }
  /// The call site.
  const std::source_location& where() const noexcept { return where_; }

 private:
  time_limit when_;
  std::source_location where_;
};

/// What spawn_every() calls: `f(args...)` returns a task<>, and may be called again.
template <class F, class... Args>
concept repeatable = requires(std::decay_t<F>& f, std::decay_t<Args>&... args) {
  { std::invoke(f, args...) } -> std::same_as<task<>>;
};

}  // namespace ringlet

namespace ringlet::detail {

template <class F, class... Args>
std::invoke_result_t<F, Args...> call_after(time_limit start, F f, Args... args) {
  co_await extend::sleep_wait(start);
  co_return co_await std::invoke(std::move(f), std::move(args)...);
}

/// The time of the next tick after `tick` that has not passed yet.
extend::steady_ns next_tick(extend::steady_ns tick, extend::steady_ns period) noexcept;
/// The length of a period, or never. Aborts unless it is above zero.
extend::steady_ns checked_period(const time_limit& period);

template <class F, class... Args>
task<> call_every(extend::steady_ns first, extend::steady_ns period, F f, Args... args) {
  for (extend::steady_ns tick = first;; tick = next_tick(tick, period)) {
    co_await extend::sleep_wait(time_limit::at(tick));
    co_await std::invoke(f, args...);
  }
}

/// The tasks of spawn_after() and spawn_every().
template <class F, class... Args>
auto make_call_after(const spawn_time& delay, F&& f, Args&&... args) {
  const time_limit start = time_limit::at(delay.when().resolve(extend::current_scheduler().now()));
  return call_after<std::decay_t<F>, std::decay_t<Args>...>(start, std::forward<F>(f),
                                                            std::forward<Args>(args)...);
}
template <class F, class... Args>
task<> make_call_every(const spawn_time& period, F&& f, Args&&... args) {
  const extend::steady_ns length = checked_period(period.when());
  return call_every<std::decay_t<F>, std::decay_t<Args>...>(
      period.when().resolve(extend::current_scheduler().now()), length, std::forward<F>(f),
      std::forward<Args>(args)...);
}

/// Calls that look valid but that spawn_after() rejects.
template <class F, class... Args>
concept spawns_later_wrongly = spawns_wrongly<F, Args...> || is_task<std::remove_cvref_t<F>>;

/// Explains at compile time what is wrong with such a call.
template <class F, class... Args>
constexpr void explain_wrong_delay() {
  static_assert(!is_task<std::remove_cvref_t<F>>,
                "spawn_after() makes the call itself, after the delay: pass the function and its "
                "arguments, as in spawn_after(1s, work, argument)");
  if constexpr (spawns_wrongly<F, Args...>) explain_wrong_spawn<F, Args...>();
}

/// Calls that look valid but that spawn_every() rejects.
template <class F, class... Args>
concept makes_no_periodic_task =
    !repeatable<F, Args...> && std::invocable<std::decay_t<F>&, std::decay_t<Args>&...>;

/// Explains at compile time what is wrong with such a call.
template <class F, class... Args>
constexpr void explain_wrong_period() {
  static_assert(!makes_no_periodic_task<F, Args...>,
                "the function that spawn_every() calls must return a task without a value: write "
                "-> task<> and use co_await or co_return in it");
}

}  // namespace ringlet::detail

namespace ringlet {

/// Like spawn(), but calls `f(args...)` after `delay`, counted from this call. If the fiber is
/// killed first, `f` is never called. Until then dump() shows the fiber sleeping.
///
/// Errors    std::bad_alloc.
/// Lifetime  `f` and `args` live in the fiber, as with spawn().
/// Thread    That of the scheduler.
template <class F, class... Args>
requires spawnable<F, Args...>
auto spawn_after(const spawn_time& delay, F&& f, Args&&... args) {
  return spawn(detail::make_call_after(delay, std::forward<F>(f), std::forward<Args>(args)...),
               delay.where());
}

// For calls that do not compile. The deduced return type forces the static_assert that says why.
template <class F, class... Args>
requires detail::spawns_later_wrongly<F, Args...>
auto spawn_after(const spawn_time&, F&&, Args&&...) {
  detail::explain_wrong_delay<F, Args...>();
  return fiber<>();
}

/// Calls `f(args...)` once per period until `f` throws or the fiber is killed. The first call is
/// made one period after this one. All calls share the same copies of `f` and `args`. Calls begin
/// on a fixed grid of periods, however long a call takes; ticks that a long call misses are
/// skipped. The period must be above zero; an infinite one, such as std::chrono::hours::max(),
/// never elapses.
///
/// Errors    std::bad_alloc. A failure of `f` ends the fiber and is its outcome. A period that is
///           not above zero aborts.
/// Lifetime  `f` and `args` live in the fiber, as with spawn().
/// Thread    That of the scheduler.
template <class F, class... Args>
requires repeatable<F, Args...>
auto spawn_every(const spawn_time& period, F&& f, Args&&... args) -> fiber<> {
  return spawn(detail::make_call_every(period, std::forward<F>(f), std::forward<Args>(args)...),
               period.where());
}
template <class F, class... Args>
requires detail::makes_no_periodic_task<F, Args...>
auto spawn_every(const spawn_time&, F&&, Args&&...) {
  detail::explain_wrong_period<F, Args...>();
  return fiber<>();
}
/// A point in time is not a period.
template <class F, class... Args>
fiber<> spawn_every(std::chrono::steady_clock::time_point, F&&, Args&&...) = delete;

}  // namespace ringlet

namespace ringlet::detail {

/// Adds these functions to a derived class that has a spawn() for tasks. The fiber belongs to the
/// group from the call on, even while it sleeps.
template <class Self>
class spawns_later {
 public:
  template <class F, class... Args>
  requires detail::spawns_later_wrongly<F, Args...>
  auto spawn_after(const spawn_time&, F&&, Args&&...) {
    detail::explain_wrong_delay<F, Args...>();
    return fiber<>();
  }
  template <class F, class... Args>
  requires detail::makes_no_periodic_task<F, Args...>
  auto spawn_every(const spawn_time&, F&&, Args&&...) {
    detail::explain_wrong_period<F, Args...>();
    return fiber<>();
  }

  template <class F, class... Args>
  requires spawnable<F, Args...>
  auto spawn_after(const spawn_time& delay, F&& f, Args&&... args) {
    return self().spawn(
        detail::make_call_after(delay, std::forward<F>(f), std::forward<Args>(args)...),
        delay.where());
  }
  template <class F, class... Args>
  requires repeatable<F, Args...>
  auto spawn_every(const spawn_time& period, F&& f, Args&&... args) -> fiber<> {
    return self().spawn(
        detail::make_call_every(period, std::forward<F>(f), std::forward<Args>(args)...),
        period.where());
  }
  template <class F, class... Args>
  fiber<> spawn_every(std::chrono::steady_clock::time_point, F&&, Args&&...) = delete;

 private:
  Self& self() noexcept { return static_cast<Self&>(*this); }
};

}  // namespace ringlet::detail
