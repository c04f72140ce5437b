// two_way_generator<Y, S, R>: a coroutine that yields values and receives values in return.
#pragma once

#include <ringlet/detail/nest.hpp>
#include <ringlet/detail/yielded_copy.hpp>
#include <ringlet/elements_of.hpp>
#include <ringlet/extend/assert.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace ringlet {

template <class Y, class S, class R = void>
class two_way_generator;

/// Thrown at the co_yield of a two_way_generator when close() is called.
///
/// Not a std::exception, so that handlers of errors let it pass. Catch it (or `...`) to clean up or
/// to return a result; yielding after it aborts.
class generator_exit {};

}  // namespace ringlet

namespace ringlet::detail {

/// What the promises of a nest of two_way_generators share: the value or exception on its way to
/// the leaf. Only the members of the outermost promise are used.
template <class S>
class two_way_node : public nest_node {
 public:
  /// The value of the leaf's co_yield; throws if an exception was sent.
  S receive() {
    two_way_node& all = whole();
    if (all.thrown_) [[unlikely]]
      std::rethrow_exception(std::exchange(all.thrown_, {}));
    return std::move(*all.sent_);
  }
  bool nest_is_closing() const noexcept { return whole().closing_; }

 protected:
  using nest_node::nest_node;
  S* sent_ = nullptr;  // the argument of send(), which returns only after it was taken
  std::exception_ptr thrown_;
  bool closing_ = false;

 private:
  two_way_node& whole() const noexcept { return static_cast<two_way_node&>(this->outermost()); }
};

/// Awaited by the co_yield of a value.
template <class S>
class exchange_awaiter {
 public:
  explicit exchange_awaiter(two_way_node<S>& leaf) noexcept : leaf_(&leaf) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  S await_resume() { return leaf_->receive(); }

 private:
  two_way_node<S>* leaf_;
};

/// Awaited by the co_yield of a part. A part that returns when it is closed has ended; the
/// enclosing coroutine must still be closed.
template <class Part, class S>
class two_way_part_awaiter : public part_awaiter<Part> {
 public:
  two_way_part_awaiter(Part& part, two_way_node<S>& outer) noexcept
      : part_awaiter<Part>(part), outer_(&outer) {}
  decltype(auto) await_resume() {
    if (outer_->nest_is_closing() && !this->part_->error()) {
      this->part_->destroy_part();
      throw generator_exit();
    }
    return part_awaiter<Part>::await_resume();
  }

 private:
  two_way_node<S>* outer_;
};

/// The promise of a two_way_generator. Values in both directions stay where they were made, and are
/// moved once.
template <class Y, class S, class R>
class two_way_promise final : public detail::yielding_promise<R, detail::two_way_node<S>> {
 public:
  using element = std::conditional_t<std::is_void_v<Y>, std::monostate, Y>;
  using answer = std::conditional_t<std::is_void_v<Y>, bool, std::optional<element>>;

  two_way_promise() noexcept
      : detail::yielding_promise<R, detail::two_way_node<S>>(
            std::coroutine_handle<two_way_promise>::from_promise(*this)) {}
  two_way_generator<Y, S, R> get_return_object() noexcept {
    return two_way_generator<Y, S, R>(this);
  }

  auto yield_value(element&& value) noexcept {
    this->yield(value);
    return detail::exchange_awaiter<S>(*this);
  }
  auto yield_value(const element& value) requires(!std::is_void_v<Y> &&
                                                  std::copy_constructible<element>) {
    return detail::yielded_copy<element, detail::exchange_awaiter<S>>(
        value, detail::exchange_awaiter<S>(*this));
  }
  template <class R2>
  auto yield_value(elements_of<two_way_generator<Y, S, R2>> part) noexcept {
    two_way_promise<Y, S, R2>& promise = *part.whole().release();
    RINGLET_ASSERT(promise.current_phase() != detail::nest_node::phase::suspended,
                   "elements_of was given a two_way_generator that had been started");
    return detail::two_way_part_awaiter<two_way_promise<Y, S, R2>, S>(promise, *this);
  }

  answer advance() {
    this->resume();
    if (this->has_ended()) {
      this->rethrow();
      return answer();
    }
    if constexpr (std::is_void_v<Y>) {
      return true;
    } else {
      return answer(std::in_place, std::move(*static_cast<Y*>(this->yielded())));
    }
  }
  answer send(S& value) {
    this->sent_ = &value;
    return advance();
  }
  answer throw_into(std::exception_ptr error) {
    this->thrown_ = std::move(error);
    return advance();
  }
  void close() {
    this->thrown_ = std::make_exception_ptr(generator_exit());
    this->closing_ = true;
    this->resume();
    RINGLET_ASSERT(
        this->has_ended(),
        "a two_way_generator yielded again when it was closed: let generator_exit pass, or return");
    try {
      this->rethrow();
    } catch (const generator_exit&) {
    }
  }
};

}  // namespace ringlet::detail

namespace ringlet {

/// A call of a coroutine that exchanges values with its holder: `S in = co_yield out;` hands `out`
/// to the holder and suspends until the holder sends the next value.
///
///     two_way_generator<double, double> mean() {         auto g = mean();
///       double sum = 0, mean = 0;             g.start();    // 0
///       for (int count = 1;; ++count) {       g.send(10);   // 10
///         sum += co_yield mean;               g.send(20);   // 15
///         mean = sum / count;
///       }
///     }
///
/// start(), send() and throw_into() run the body up to its next co_yield and return the yielded
/// value, moved out, or nothing if the body has ended. They throw the exception of the body, which
/// ends it. The body runs on the stack and the thread of the caller. It cannot wait: co_await in it
/// does not compile.
///
/// For a coroutine that only receives, Y is void. It writes `S in = co_yield {};`, and instead of
/// an optional value the calls return whether it accepts more values.
///
/// A two_way_generator that is dropped early is destroyed at its co_yield, with its locals, as if
/// the scope had ended there. close() ends it with an exception instead, so that the body can
/// react.
///
/// Broken rules abort: a value sent before the start, a second start, and any of these calls made
/// inside the body that it would resume. The frame comes from the pool of the thread. See
/// elements_of for delegating to another two_way_generator, and generator for coroutines that only
/// yield.
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

  /// For elements_of: gives the frame away.
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
