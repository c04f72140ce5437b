// shield: a call that is not to be cut short, for a limited time.
#pragma once

#include <ringlet/context.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/task.hpp>
#include <ringlet/timer.hpp>
#include <ringlet/until.hpp>

#include <utility>

namespace ringlet {

/// Holds back kills and the scopes around it, until its time has come. Lives in the frame of the
/// call it is around.
class shield_scope : public timed_scope {
 public:
  explicit shield_scope(until limit)
      : timed_scope(
            [](timed_scope& due) noexcept { static_cast<shield_scope&>(due).hold_back(false); }) {
    hold_back(current_scheduler().lets_hold_back());
    set_limit(limit);
  }
};

/// Awaits `call` and returns its value; until then kills, and deadlines and groups around it, are
/// held back. They stay pending, and end the first wait behind it. When the limit passes they get
/// through: so that nothing can refuse to end indefinitely, every shield has one.
///
/// Deadlines and groups inside the shield work as usual. A scheduler that ends lets shields hold
/// for options.grace, and no longer.
///
///     co_await shield(2s, say_goodbye(stream));   // in the cleanup of a fiber that may be killed
template <class T>
task<T> shield(until limit, task<T> call) {
  const shield_scope held(limit);
  co_return co_await call;
}

}  // namespace ringlet
