// two_way_generator<Y, S, R>: a coroutine that yields values and receives values in return.
//
//     two_way_generator<double, double> mean() {
//       double sum = 0, mean = 0;
//       for (int count = 1;; ++count) {
//         sum += co_yield mean;
//         mean = sum / count;
//       }
//     }
//
//     auto means = mean();
//     means.start();   // 0
//     means.send(10);  // 10
//     means.send(20);  // 15
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/nest.hpp>
#include <ringlet/detail/two_way_promise.hpp>
#include <ringlet/detail/yielded_copy.hpp>
#include <ringlet/elements_of.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/generator_exit.hpp>

#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

namespace ringlet {

/// A call of a coroutine that exchanges values with its holder: `S in = co_yield out;` hands `out`
/// to the holder and suspends until the holder sends the next value. R is the type of the value
/// that its body returns, often void; see result().
///
/// start(), send() and throw_into() run the body up to its next co_yield and return the yielded
/// value, moved out, or nothing if the body has ended. The body runs on the stack and the thread of
/// the caller. It cannot wait: co_await in it does not compile.
///
/// For a coroutine that only receives, Y is void. It writes `S in = co_yield {};`, and instead of
/// an optional value the calls return whether it accepts more values.
///
/// See elements_of for delegating to another two_way_generator, and generator for coroutines that
/// only yield.
///
/// Errors    The calls throw the exception of the body, which ends it. A value sent before the
///           start, a second start, and any of these calls made inside the body that it would
///           resume, abort. Calling the coroutine throws std::bad_alloc.
/// Lifetime  Parameters taken by reference must outlive it, as with a task. One that is dropped
///           early is destroyed at its co_yield, with its locals, as if the scope had ended there.
///           close() ends it with an exception instead, so that the body can react.
/// Thread    Any, one at a time: that of the caller of start(), send(), throw_into() and close().
/// Memory    The frame, from the pool of the thread.
template <class Y, class S, class R>
class [[nodiscard]] two_way_generator {
  static_assert(std::is_void_v<Y> || std::is_object_v<Y>, "yield a pointer, not a reference");
  static_assert(std::is_object_v<S>, "send a pointer, not a reference; to send nothing: generator");
  using phase = detail::nest_node::phase;

 public:
  using promise_type = detail::two_way_promise<Y, S, R>;
  /// What the calls return: std::optional<Y>, empty once the coroutine has ended, or bool if Y is
  /// void.
  using answer = typename promise_type::answer;

  /// Runs the body up to its first co_yield. Call it once, before sending anything.
  answer start() {
    promise_type& body = promise();
    RINGLET_ASSERT(body.current_phase() != phase::suspended,
                   "a two_way_generator was started twice");
    return body.has_ended() ? answer() : body.advance();
  }

  /// Makes `value` the value of the co_yield. `value` is dropped if the body has ended.
  answer send(S value) {
    promise_type& body = promise();
    RINGLET_ASSERT(body.current_phase() != phase::fresh,
                   "a value was sent to a two_way_generator before its start()");
    return body.has_ended() ? answer() : body.send(value);
  }

  /// Throws `error` at the co_yield. A body that has not begun, or has ended, cannot catch it: then
  /// the two_way_generator ends, and throw_into() itself throws `error`.
  answer throw_into(std::exception_ptr error) {
    RINGLET_ASSERT(error, "throw_into() was given no exception");
    promise_type& body = promise();
    if (body.current_phase() == phase::fresh) body.end_unstarted();
    if (body.has_ended()) std::rethrow_exception(std::move(error));
    return body.throw_into(std::move(error));
  }
  template <class E>
  requires(!std::convertible_to<E, std::exception_ptr>) answer throw_into(E&& error) {
    return throw_into(std::make_exception_ptr(std::forward<E>(error)));
  }

  /// Throws generator_exit at the co_yield, so that the body cleans up and ends. Rethrows any other
  /// exception of the body. Does nothing if the body has ended; a body that has not begun never
  /// runs.
  void close() {
    promise_type& body = promise();
    if (body.current_phase() == phase::fresh) body.end_unstarted();
    if (!body.has_ended()) body.close();
  }

  /// Whether the body has ended, or will never begin.
  bool done() const noexcept { return promise().has_ended(); }

  /// Moves out the value that the body returned, also after close(). Call it once, and not if the
  /// body threw.
  R result() requires(!std::is_void_v<R>) { return promise().take_result(); }

  /// For elements_of: releases the frame.
  promise_type* release() noexcept {
    promise();
    return promise_.release();
  }

 private:
  friend promise_type;
  explicit two_way_generator(promise_type* promise) noexcept : promise_(promise) {}

  promise_type& promise() const noexcept {
    RINGLET_ASSERT(promise_ != nullptr, "an empty two_way_generator (moved from) was used");
    return *promise_;
  }

  detail::nest_owner<promise_type> promise_;
};

}  // namespace ringlet
