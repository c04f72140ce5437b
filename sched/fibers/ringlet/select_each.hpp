// select_each: waits for the first of the calls that a function makes of a range's elements.
//
//     const auto [which, next] =
//         co_await select_each(inboxes, [](queue<job>& inbox) { return inbox.pop(); });
//     handle(which, next);
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/select_each_wait.hpp>
#include <ringlet/extend/select_wait.hpp>
#include <ringlet/extend/sleep_waits.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <ranges>
#include <type_traits>

namespace ringlet {

/// What select_each() calls: `f(element)` makes a call which select() would accept.
template <class F, class Range>
concept makes_selectable_of =
    std::ranges::input_range<Range> && std::invocable<F&, std::ranges::range_reference_t<Range>> &&
    selectable<std::invoke_result_t<F&, std::ranges::range_reference_t<Range>>>;

/// Calls `f(element)` for each element, waits for the first of the calls that it returns, and takes
/// that one. The result has the index of the element and the value of the call. As with select(),
/// the calls that were not taken lose nothing, and those that are ready at once are taken in the
/// order of the range. For calls of different types, and to wait repeatedly, see select_set.
///
/// With g++ 12, first name a callable that has a destructor; see with_timeout().
///
/// Errors    That of the call that was taken. std::invalid_argument if the range is empty.
/// Cancellation  Nothing is taken; success wins.
/// Lifetime  The elements must outlive the wait. Await it in the expression that makes it.
/// Memory    Allocates when it is called, in proportion to the range; waking and cancelling do not.
template <class Range, class F>
requires makes_selectable_of<F, Range>
auto select_each(Range&& objects, F&& f)
    -> extend::select_each_wait<std::invoke_result_t<F&, std::ranges::range_reference_t<Range>>> {
  detail::check_temporary<F>();
  return {objects, f};
}
// For all other arguments: says what to write instead.
template <class Range, class F>
requires(!makes_selectable_of<F, Range>) auto select_each(Range&&, F&&) {
  static_assert(makes_selectable_of<F, Range>,
                "select_each() takes a range, and a function that makes of an element a wait which "
                "can be a part of a select(): write [](queue<int>& from) { return from.pop(); }");
  return extend::sleep_wait(forever);  // can be awaited
}

}  // namespace ringlet
