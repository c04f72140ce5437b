// shield: protects a call from cancellation, for a limited time.
//
//     task<> serve(client& peer) {
//       std::exception_ptr end;
//       try {
//         co_await talk_to(peer);
//       } catch (const cancelled&) {
//         end = std::current_exception();
//       }
//       co_await shield(2s, say_goodbye(peer));  // also if this fiber was killed
//       if (end) std::rethrow_exception(end);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/awaited_call.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/extend/timed_scope.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <utility>

namespace ringlet::detail {

/// Holds back kills and the cancellation of scopes around it, until its limit passes. Lives in the
/// frame of the call that it protects.
class shield_scope : public extend::timed_scope {
 public:
  explicit shield_scope(time_limit timeout)
      : extend::timed_scope([](extend::timed_scope& due) noexcept {
          static_cast<shield_scope&>(due).hold_back(false);
        }) {
    hold_back(extend::current_scheduler().lets_hold_back());
    set_limit(timeout);
  }
};

}  // namespace ringlet::detail

namespace ringlet {

/// Awaits `call` and returns its value. Every shield has a limit, so no fiber can refuse to end
/// indefinitely. The limit counts from this call, not from the kill: a shield around ordinary work
/// gives that no more time once the limit has passed. To let work finish after a signal, use
/// shutdown_requested(). Deadlines and groups inside the shield work as usual. While a scheduler
/// ends, shields hold for options.shutdown_timeout at most.
///
/// Errors    Those of the call.
/// Cancellation  Kills and the cancellation of deadlines and groups around it are held back. They
///           stay pending and end the first wait after the shield. When the limit passes, they take
///           effect inside, and lose what the call loses.
/// Memory    The frame of the call.
template <class T>
task<T> shield(time_limit timeout, task<T> call) {
  const detail::shield_scope held(timeout);
  co_return co_await call;
}

/// The same for one wait, such as `shield(1s, replies.pop())`.
/// Lifetime  Borrows the wait; await it in the same expression.
template <detail::wait_call A>
auto shield(time_limit timeout, A&& call) -> borrowing_task<detail::value_of_call<A>> {
  return shield(timeout, detail::task_of(std::forward<A>(call)));
}

// For calls that do not compile. The deduced return type forces the static_assert that says why.
template <detail::no_call X>
auto shield(time_limit, X&&) {
  return detail::explain_no_call<X>();
}

}  // namespace ringlet
