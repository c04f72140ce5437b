// async_generator<Y>: a coroutine that yields values and may wait between them.
#pragma once

#include <ringlet/detail/async_generator_promise.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/next_wait.hpp>
#include <ringlet/task.hpp>

#include <memory>
#include <type_traits>

namespace ringlet {

/// A call of a coroutine that yields values and may await anything that a task may:
///
///     async_generator<std::string> lines(tcp_stream& from);
///
///     auto all = lines(peer);
///     while (auto line = co_await all.next()) co_await log(*line);
///
/// next() returns an optional, not a pointer: the value is moved out to the caller, and resuming
/// the generator does not change it. An empty optional means that the body has returned; every
/// later call returns one, too. next() throws the exception of the body, which ends the generator.
///
/// Lazy: the body runs only while next() is awaited, as a call of the awaiting fiber. Its waits are
/// that fiber's waits: dump() prints the generator in the chain of calls, and a kill or a limit
/// that ends a wait in the body unwinds the body first and is then thrown by next(). So cancelling
/// a next(), for instance by with_timeout, ends the generator. Awaiting next() is not a checkpoint,
/// and other fibers do not run.
///
/// A generator may be passed from fiber to fiber. One fiber at a time may await next(), and the
/// body itself may not. A generator that is dropped early is destroyed at its co_yield, with its
/// locals, as if the scope had ended there. Dropping it during next() aborts. Do not keep a scope,
/// such as a limit, across a co_yield: it would also cover what the consumer does in between.
/// Thread    That of the fiber. The frame comes from the pool of the thread.
template <class Y>
class [[nodiscard]] async_generator {
  static_assert(std::is_object_v<Y>, "yield a pointer, not a reference");

 public:
  using promise_type = detail::async_generator_promise<Y>;

  /// `co_await` it to run the body to its next value. Errors and cancellation: those of the body,
  /// as above; values yielded before are not lost.
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
