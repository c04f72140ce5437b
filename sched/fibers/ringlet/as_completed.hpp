// as_completed: several fibers in the order in which they end.
//
//     const std::vector<fiber<int>> fibers = {spawn(fetch, 3), spawn(fetch, 1), spawn(fetch, 2)};
//     auto ends = as_completed(fibers);
//     while (auto place = co_await ends.next()) show(fibers[*place].value());  // 1 2 3
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/async_generator.hpp>
#include <ringlet/extend/ended_fibers.hpp>
#include <ringlet/joinall.hpp>

#include <cstddef>
#include <optional>
#include <ranges>

namespace ringlet::detail {

template <class Handle>
async_generator<std::size_t> each_completed(kept_fibers<Handle> kept, time_limit timeout) {
  const time_limit deadline = time_limit::at(timeout.resolve(extend::current_scheduler().now()));
  extend::ended_fibers ends(kept.targets);
  while (const std::optional<std::size_t> place = co_await ends.next(deadline)) co_yield *place;
}

}  // namespace ringlet::detail

namespace ringlet {

/// Yields the indices in `fibers` of the fibers that have ended, one by one in the order in which
/// they end, until all have been yielded or the limit, which counts from the first next(), has
/// passed. Those that had ended before come first.
///
/// Errors    None: the errors of the fibers are not thrown, and stay unhandled. The call and
///           the first next() throw std::bad_alloc. A fiber that waits for itself aborts.
/// Cancellation  Cancelling a next() ends the generator. The fibers keep running.
/// Lifetime  The handles are copied. The generator may be dropped early; the fibers keep running.
/// Thread    That of the scheduler of the fibers.
/// Memory    In proportion to the number of fibers, when it begins.
template <fiber_range Fibers>
async_generator<std::size_t> as_completed(const Fibers& fibers, time_limit timeout = forever) {
  return detail::each_completed(detail::kept_fibers<std::ranges::range_value_t<Fibers>>(fibers),
                                timeout);
}

}  // namespace ringlet
