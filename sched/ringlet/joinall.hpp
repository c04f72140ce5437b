// joinall: waits until several fibers have ended.
#pragma once

#include <ringlet/fiber.hpp>
#include <ringlet/task.hpp>
#include <ringlet/until.hpp>

#include <concepts>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

namespace detail {

template <class T>
inline constexpr bool is_fiber = false;
template <class T>
inline constexpr bool is_fiber<fiber<T>> = true;

template <class T>
concept fiber_or_limit = is_fiber<std::remove_cvref_t<T>> || std::convertible_to<T, until>;

// `handles` keeps the targets alive.
template <class Handles>
task<bool> join_each([[maybe_unused]] Handles handles, std::vector<fiber_base*> targets,
                     until limit) {
  const until deadline = until::at(limit.resolve(current_scheduler().now()));
  for (fiber_base* target : targets) {
    const bool ended = co_await join_wait(*target, deadline);
    if (!ended) co_return false;
  }
  co_return true;
}

template <class T>
void sort_out(const T& argument, std::vector<fiber_base*>& targets, until& limit) {
  if constexpr (is_fiber<T>) {
    targets.push_back(&argument.state());
  } else {
    limit = argument;
  }
}

}  // namespace detail

/// Waits until all the fibers have ended, however; the same one may be named more than once. A
/// limit for all of them together may follow: `co_await joinall(a, b, 5s)`.
///
/// Returns false when the limit passed first: those that have not ended go on. Errors of the fibers
/// are not thrown and do not count as looked at. Cancellation loses nothing.
template <class First, class... More>
requires(detail::fiber_or_limit<More>&&...) task<bool> joinall(const fiber<First>& first,
                                                               const More&... more) {
  std::vector<fiber_base*> targets;
  targets.reserve(1 + sizeof...(More));
  until limit = forever;
  detail::sort_out(first, targets, limit);
  (detail::sort_out(more, targets, limit), ...);
  return detail::join_each(std::tuple(first, more...), std::move(targets), limit);
}

/// The same for a range of handles, which is copied.
template <std::ranges::input_range Fibers>
requires detail::is_fiber<std::ranges::range_value_t<Fibers>> task<bool> joinall(
    const Fibers& fibers, until limit = forever) {
  std::vector<std::ranges::range_value_t<Fibers>> handles(std::ranges::begin(fibers),
                                                          std::ranges::end(fibers));
  std::vector<fiber_base*> targets;
  targets.reserve(handles.size());
  for (const auto& handle : handles) targets.push_back(&handle.state());
  return detail::join_each(std::move(handles), std::move(targets), limit);
}

}  // namespace ringlet
