// joinall, wait_some, killall: join or kill several fibers.
//
//     const fiber<int> one = spawn(fetch, 1);
//     const fiber<int> two = spawn(fetch, 2);
//     if (co_await joinall(one, two, 5s)) show(one.value() + two.value());
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/joining.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/fiber_range.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

/// Waits until all the fibers have ended, in any way. The same fiber may be named more than once. A
/// limit for the whole call may follow: `co_await joinall(a, b, 5s)`.
///
/// Returns false if the limit passed first; fibers that have not ended keep running.
///
/// Errors    Those of the fibers are not thrown, and stay unhandled, unless options.raise asks for
///           them. An empty handle, and a fiber that joins itself, abort.
/// Cancellation  Loses nothing.
/// Lifetime  The handles are copied.
/// Thread    That of the scheduler of the fibers.
/// Memory    In proportion to the number of fibers, when it is called.
template <class First, detail::fiber_or_limit... More>
task<bool> joinall(const fiber<First>& first, const More&... more) {
  std::vector<extend::fiber_base*> targets;
  targets.reserve(1 + sizeof...(More));
  time_limit timeout = forever;
  detail::sort_out(first, targets, timeout);
  (detail::sort_out(more, targets, timeout), ...);
  return detail::join_each(std::tuple(first, more...), std::move(targets), timeout);
}

/// The same for a range of handles, which is copied.
template <fiber_range Fibers>
task<bool> joinall(const Fibers& fibers, time_limit timeout = forever) {
  detail::kept_fibers<std::ranges::range_value_t<Fibers>> kept(fibers);
  return detail::join_each(std::move(kept.handles), std::move(kept.targets), timeout);
}

/// The same with options, which may ask for some of the fibers and for their errors. Returns true
/// if enough fibers have ended: `co_await joinall(fibers, {.count = 1})` is true as soon as the
/// first one has.
template <fiber_range Fibers>
task<bool> joinall(const Fibers& fibers, join_options options) {
  return detail::join_some(detail::kept_fibers<std::ranges::range_value_t<Fibers>>(fibers),
                           options);
}

/// Waits until `count` of the fibers have ended, and returns which: their places in `fibers`, in
/// the order in which they ended. Fibers that had ended before come first. Fewer than `count` if
/// the timeout passed first.
///
/// Errors    Those of the fibers are not thrown, and stay unhandled, unless options.raise asks for
///           them.
/// Cancellation  Loses nothing.
/// Memory    In proportion to the number of fibers, when it is called.
template <fiber_range Fibers>
task<std::vector<std::size_t>> wait_some(const Fibers& fibers, std::size_t count,
                                         time_limit timeout = forever) {
  return detail::wait_for_some(detail::kept_fibers<std::ranges::range_value_t<Fibers>>(fibers),
                               {.timeout = timeout, .count = count});
}
/// The same with options: `raise` throws the first failure.
template <fiber_range Fibers>
task<std::vector<std::size_t>> wait_some(const Fibers& fibers, join_options options) {
  return detail::wait_for_some(detail::kept_fibers<std::ranges::range_value_t<Fibers>>(fibers),
                               options);
}

/// Kills all the fibers, in order and before any of them runs, so fibers that have not begun never
/// will. This happens in the call itself, even if it is not awaited. Then waits like joinall().
/// Returns false if the limit passed and a fiber is still alive.
///
/// Errors    Those of the fibers are not thrown, and stay unhandled.
/// Cancellation  Loses nothing: the fibers have been asked to end.
/// Memory    In proportion to the number of fibers, when it is called.
template <fiber_range Fibers>
task<bool> killall(const Fibers& fibers, time_limit timeout = forever) {
  detail::kept_fibers<std::ranges::range_value_t<Fibers>> kept(fibers);
  for (extend::fiber_base* target : kept.targets) target->kill();
  return detail::join_each(std::move(kept.handles), std::move(kept.targets), timeout);
}
/// The same with an exception; see fiber<T>::request_kill().
template <fiber_range Fibers>
task<bool> killall(const Fibers& fibers, std::exception_ptr error, time_limit timeout = forever) {
  detail::kept_fibers<std::ranges::range_value_t<Fibers>> kept(fibers);
  for (extend::fiber_base* target : kept.targets) target->kill_with(error);
  return detail::join_each(std::move(kept.handles), std::move(kept.targets), timeout);
}

}  // namespace ringlet
