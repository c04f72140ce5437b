// The tasks that joinall(), wait_some() and killall() return.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/ended_fibers.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/fiber_range.hpp>
#include <ringlet/join_options.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <ranges>
#include <type_traits>
#include <vector>

namespace ringlet::detail {

template <class T>
concept fiber_or_limit = is_fiber<std::remove_cvref_t<T>> || std::convertible_to<T, time_limit>;

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
