// joinall, wait_some, killall: join or kill several fibers.
#pragma once

#include <ringlet/extend/ended_fibers.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <exception>
#include <limits>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

/// What joinall() and wait_some() wait for.
struct join_options {
  static constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

  /// One limit for the whole call.
  time_limit timeout = forever;
  /// Return as soon as this many have ended.
  std::size_t count = all;
  /// Throw the first failure, in the order in which fibers end, as soon as it occurs; the other
  /// fibers keep running. Counts as observing that failure.
  bool raise = false;
};

}  // namespace ringlet

namespace ringlet::detail {

template <class T>
inline constexpr bool is_fiber = false;
template <class T>
inline constexpr bool is_fiber<fiber<T>> = true;

template <class T>
concept fiber_or_limit = is_fiber<std::remove_cvref_t<T>> || std::convertible_to<T, time_limit>;

template <class Fibers>
concept fiber_range =
    std::ranges::input_range<Fibers> && is_fiber<std::ranges::range_value_t<Fibers>>;

/// Copies of the handles, which keep the fibers alive, and the fibers themselves.
template <class Handle>
struct kept_fibers {
  explicit kept_fibers(const fiber_range auto& fibers) {
    for (const Handle& handle : fibers) {
      handles.push_back(handle);
      targets.push_back(&handle.state());
    }
  }
  std::vector<Handle> handles;
  std::vector<extend::fiber_base*> targets;
};

// `handles` keeps the targets alive.
template <class Handles>
task<bool> join_each([[maybe_unused]] Handles handles, std::vector<extend::fiber_base*> targets,
                     time_limit timeout) {
  const time_limit deadline = time_limit::at(timeout.resolve(extend::current_scheduler().now()));
  for (extend::fiber_base* target : targets) {
    const bool ended = co_await extend::join_wait(*target, deadline);
    if (!ended) co_return false;
  }
  co_return true;
}

template <class T>
void sort_out(const T& argument, std::vector<extend::fiber_base*>& targets, time_limit& timeout) {
  if constexpr (is_fiber<T>) {
    targets.push_back(&argument.state());
  } else {
    timeout = argument;
  }
}

/// The indices of the fibers that ended, in the order in which they ended.
task<std::vector<std::size_t>> wait_for_ends(std::vector<extend::fiber_base*> targets,
                                             join_options options);

template <class Handle>
task<bool> join_some(kept_fibers<Handle> kept, join_options options) {
  const std::size_t wanted = std::min(options.count, kept.targets.size());
  const std::vector<std::size_t> ended = co_await wait_for_ends(kept.targets, options);
  co_return ended.size() >= wanted;
}

template <class Handle>
task<std::vector<std::size_t>> wait_for_some(kept_fibers<Handle> kept, join_options options) {
  co_return co_await wait_for_ends(kept.targets, options);
}

}  // namespace ringlet::detail

namespace ringlet {

/// Waits until all the fibers have ended, in any way. The same fiber may be named more than once. A
/// limit for the whole call may follow: `co_await joinall(a, b, 5s)`.
///
/// Returns false if the limit passed first; fibers that have not ended keep running. Errors of the
/// fibers are not thrown and do not count as observed. Cancellation loses nothing.
template <class First, class... More>
requires(detail::fiber_or_limit<More>&&...) task<bool> joinall(const fiber<First>& first,
                                                               const More&... more) {
  std::vector<extend::fiber_base*> targets;
  targets.reserve(1 + sizeof...(More));
  time_limit timeout = forever;
  detail::sort_out(first, targets, timeout);
  (detail::sort_out(more, targets, timeout), ...);
  return detail::join_each(std::tuple(first, more...), std::move(targets), timeout);
}

/// The same for a range of handles, which is copied.
template <detail::fiber_range Fibers>
task<bool> joinall(const Fibers& fibers, time_limit timeout = forever) {
  detail::kept_fibers<std::ranges::range_value_t<Fibers>> kept(fibers);
  return detail::join_each(std::move(kept.handles), std::move(kept.targets), timeout);
}

/// The same with options, which may ask for some of the fibers and for their errors. Returns true
/// if enough fibers have ended: `co_await joinall(fibers, {.count = 1})` is true as soon as the
/// first one has.
template <detail::fiber_range Fibers>
task<bool> joinall(const Fibers& fibers, join_options options) {
  return detail::join_some(detail::kept_fibers<std::ranges::range_value_t<Fibers>>(fibers),
                           options);
}

/// Waits until `count` of the fibers have ended, and returns which: their places in `fibers`, in
/// the order in which they ended. Fibers that had ended before come first. Fewer than `count` when
/// the timeout passed first.
template <detail::fiber_range Fibers>
task<std::vector<std::size_t>> wait_some(const Fibers& fibers, std::size_t count,
                                         time_limit timeout = forever) {
  return detail::wait_for_some(detail::kept_fibers<std::ranges::range_value_t<Fibers>>(fibers),
                               {.timeout = timeout, .count = count});
}
/// Does the same with options: `raise` throws the first failure.
template <detail::fiber_range Fibers>
task<std::vector<std::size_t>> wait_some(const Fibers& fibers, join_options options) {
  return detail::wait_for_some(detail::kept_fibers<std::ranges::range_value_t<Fibers>>(fibers),
                               options);
}

/// Kills all the fibers, in order and before any of them runs, so fibers that have not begun never
/// will. Then waits like joinall(). Returns false if the limit passed and a fiber is still alive.
template <detail::fiber_range Fibers>
task<bool> killall(const Fibers& fibers, time_limit timeout = forever) {
  detail::kept_fibers<std::ranges::range_value_t<Fibers>> kept(fibers);
  for (extend::fiber_base* target : kept.targets) target->kill();
  return detail::join_each(std::move(kept.handles), std::move(kept.targets), timeout);
}
/// The same with an exception; see fiber<T>::request_kill().
template <detail::fiber_range Fibers>
task<bool> killall(const Fibers& fibers, std::exception_ptr error, time_limit timeout = forever) {
  detail::kept_fibers<std::ranges::range_value_t<Fibers>> kept(fibers);
  for (extend::fiber_base* target : kept.targets) target->kill_with(error);
  return detail::join_each(std::move(kept.handles), std::move(kept.targets), timeout);
}

}  // namespace ringlet
