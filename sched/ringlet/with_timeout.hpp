// with_timeout: a limit for a whole call, however many waits it makes.
#pragma once

#include <ringlet/context.hpp>
#include <ringlet/error.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/task.hpp>
#include <ringlet/timer.hpp>
#include <ringlet/until.hpp>

#include <type_traits>
#include <utility>

namespace ringlet {

/// A scope that is cancelled when its time has come. Lives in the frame of the call it is around.
class deadline_scope : public scope, private timer {
 public:
  /// Counts from now; around what the running fiber calls until it ends.
  explicit deadline_scope(until limit);
  ~deadline_scope();

 private:
  static void on_expiry(timer& due) noexcept;
  timer_queue& queue_;
};

/// Awaits `call` and yields its value. When the limit passes first, every wait inside throws
/// `cancelled` from then on, and what comes out is timed_out.
///
/// An inner limit never swallows an outer one, or a kill: those pass through. A call that finishes
/// although its time has come has finished: success wins. A limit that has passed already still
/// lets the call do what needs no waiting.
/// Cancellation loses what the call loses; read_some inside loses nothing, read_exact its place.
template <class T>
task<T> with_timeout(until limit, task<T> call) {
  const deadline_scope deadline(limit);
  try {
    if constexpr (std::is_void_v<T>) {
      co_await call;
      co_return;
    } else {
      co_return co_await call;
    }
  } catch (const cancelled& reason) {
    if (!reason.from(&deadline)) throw;
  }
  throw timed_out("with_timeout");
}

/// The same for one wait, such as `with_timeout(1s, stream.receive())`.
/// Lifetime: borrows the wait; await it in the same expression.
template <awaiter A>
auto with_timeout(until limit, A&& call)
    -> task<std::remove_cvref_t<decltype(std::declval<A&>().await_resume())>> {
  using value = std::remove_cvref_t<decltype(call.await_resume())>;
  const deadline_scope deadline(limit);
  try {
    if constexpr (std::is_void_v<value>) {
      co_await call;
      co_return;
    } else {
      co_return co_await call;
    }
  } catch (const cancelled& reason) {
    if (!reason.from(&deadline)) throw;
  }
  throw timed_out("with_timeout");
}

}  // namespace ringlet
