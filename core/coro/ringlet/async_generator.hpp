// async_generator<Y>: a coroutine that yields values and may wait between them.
//
//     async_generator<int> numbers(int first) {
//       for (;; ++first) {
//         co_await work();
//         co_yield first;
//       }
//     }
//
//     task<> print() {
//       auto from_one = numbers(1);
//       while (auto number = co_await from_one.next()) {
//         if (*number > 9) break;
//         show(*number);
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/async_generator_promise.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/next_wait.hpp>
#include <ringlet/task.hpp>

#include <memory>
#include <type_traits>

namespace ringlet {

/// A call of a coroutine that yields values and may await anything that a task may. next() returns
/// an optional, not a pointer: the value is moved out to the caller, and resuming the generator
/// does not change it. An empty optional means that the body has returned; every later call returns
/// one, too.
///
/// Lazy: the body runs only while next() is awaited, as a call of the awaiting fiber. Its waits are
/// that fiber's waits: dump() prints the generator in the chain of calls. Awaiting next() is not a
/// checkpoint, and other fibers do not run.
///
/// A generator may be passed from fiber to fiber. One fiber at a time may await next(), and the
/// body itself may not. Do not keep a scope, such as a limit, across a co_yield: it would also
/// cover what the consumer does in between.
///
/// Errors    next() throws the exception of the body, which ends the generator. Calling the
///           coroutine throws std::bad_alloc.
/// Cancellation  A kill or a limit that ends a wait in the body unwinds the body, and is then
///           thrown by next(). So cancelling a next(), for instance by with_timeout(), ends the
///           generator. Values that were yielded before are not lost.
/// Lifetime  Parameters taken by reference must outlive the generator, as with a task. A generator
///           that is dropped early is destroyed at its co_yield, with its locals, as if the scope
///           had ended there; if the body has not begun, it never runs. Dropping it during next()
///           aborts.
/// Thread    That of the fiber.
/// Memory    The frame, from the pool of the thread. next() does not allocate.
template <class Y>
class [[nodiscard]] async_generator {
  static_assert(std::is_object_v<Y>, "yield a pointer, not a reference");

 public:
  using promise_type = detail::async_generator_promise<Y>;

  /// `co_await` it to run the body to its next value. Returns a std::optional<Y>, which is empty
  /// when the body has returned.
  extend::next_wait<Y> next() noexcept {
    RINGLET_ASSERT(promise_ != nullptr, "an empty async_generator (moved from) was used");
    return extend::next_wait<Y>(*promise_);
  }

 private:
  friend promise_type;
  explicit async_generator(promise_type* promise) noexcept : promise_(promise) {}

  struct destroyer {
    void operator()(promise_type* body) const noexcept {
      RINGLET_ASSERT(!body->is_running(),
                     "an async_generator was destroyed while its next value was awaited");
      body->self().destroy();
    }
  };
  std::unique_ptr<promise_type, destroyer> promise_;
};

}  // namespace ringlet
