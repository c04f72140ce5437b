// select: waits for several calls at once and takes exactly one of them.
//
//     auto next = co_await select(inbox.pop(), stop.wait(), sleep(30s));
//     if (next.index() == 0) handle(std::get<0>(std::move(next)));
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/select_wait.hpp>
#include <ringlet/fiber.hpp>

#include <type_traits>
#include <utility>

namespace ringlet {

/// Waits for the first of several calls, takes it and abandons the other calls, which lose nothing.
/// Returns a variant: index() says which call was taken, and the alternative holds its value,
/// std::monostate for void.
///
/// If several calls are ready immediately, select() takes the first in argument order: put what
/// must not starve first. Otherwise it takes the call that becomes ready first, and it stands in
/// the same line as fibers that wait without a select().
///
/// Limits    Each call may have its own. The one that passes first ends the select() the way it
///           ends that call: sleep() and join() with a value, pop() with timed_out.
/// Errors    A call that ends with an error (a closed queue, a limit that passed) counts as taken,
///           and its error is thrown; as_result() returns it.
/// Cancellation  Nothing is taken; success wins.
/// Lifetime  Borrows the calls: await it in the expression that makes it and them.
template <selectable... Waits>
requires(sizeof...(Waits) > 0)
    [[nodiscard]] extend::select_wait<Waits...> select(Waits&&... waits) noexcept {
  return extend::select_wait<Waits...>(waits...);
}

// For all other arguments: says what to write instead.
template <class... Waits>
requires(sizeof...(Waits) > 0 && !(selectable<Waits> && ...)) auto select(Waits&&...) {
  static_assert(!(std::is_lvalue_reference_v<Waits> || ...),
                "select() takes waits in the expression that makes them: write std::move(wait) for "
                "a wait that you keep");
  static_assert((std::is_lvalue_reference_v<Waits> || ...),
                "select() takes only waits that take nothing before they are over: for a stream, "
                "select readable() and call receive() afterwards; for a task, spawn it and select "
                "join() or get() of the fiber");
}

}  // namespace ringlet
