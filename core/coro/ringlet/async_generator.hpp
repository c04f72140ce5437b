// async_generator<Y>: a coroutine that yields values and may wait between them.
#pragma once

#include <ringlet/detail/returned.hpp>
#include <ringlet/detail/yielded_copy.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <coroutine>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace ringlet {

template <class Y>
class async_generator;

}  // namespace ringlet

namespace ringlet::detail {

/// While a coroutine awaits the next value, the generator is part of that coroutine's chain. In
/// between, its parent and chain are null.
template <class Y>
class async_generator_promise final : public task_promise_base, public detail::returned<void> {
  /// Suspends the generator and resumes the consumer.
  struct return_to_consumer {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> at) const noexcept {
      extend::frame_record& record = at.promise();
      extend::frame_record& consumer = *std::exchange(record.parent, nullptr);
      record.chain->return_to(consumer);
      record.chain = nullptr;
      return extend::transfer(consumer);
    }
    void await_resume() const noexcept {}
  };

 public:
  async_generator_promise() noexcept {
    detail::check_promise<async_generator_promise>();
    check_frame(self().address());
  }
  async_generator_promise(const async_generator_promise&) = delete;
  async_generator_promise& operator=(const async_generator_promise&) = delete;
  async_generator<Y> get_return_object() noexcept { return async_generator<Y>(this); }

  return_to_consumer final_suspend() const noexcept { return {}; }
  return_to_consumer yield_value(Y&& value) noexcept {
    yield(value);
    return {};
  }
  auto yield_value(const Y& value) requires std::copy_constructible<Y> {
    return detail::yielded_copy<Y, return_to_consumer>(value, {});
  }
  void yield(Y& value) noexcept { yielded_ = std::addressof(value); }

  bool is_running() const noexcept { return chain != nullptr; }
  /// Moves out the value that the last resumption yielded, or throws its exception.
  std::optional<Y> take_yielded() {
    if (yielded_ != nullptr) {
      return std::optional<Y>(std::in_place, std::move(*std::exchange(yielded_, nullptr)));
    }
    take();
    return std::nullopt;
  }

 private:
  Y* yielded_ = nullptr;
};

/// What async_generator::next() returns: await it.
template <class Y>
class [[nodiscard]] next_awaiter {
 public:
  explicit next_awaiter(async_generator_promise<Y>& body) noexcept : body_(&body) {}

  bool await_ready() const noexcept {
    RINGLET_ASSERT(!body_->is_running(),
                   "the next value of an async_generator was awaited while it was running");
    return body_->self().done();
  }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> consumer) noexcept {
    extend::frame_record& record = consumer.promise();
    body_->parent = &record;
    body_->chain = record.chain;
    return extend::transfer(*body_);
  }
  std::optional<Y> await_resume() { return body_->take_yielded(); }
  /// For as_result: a std::system_error of the body becomes the error.
  result<std::optional<Y>> take() {
    try {
      return await_resume();
    } catch (const std::system_error& error) {
      return error.code();
    }
  }

 private:
  async_generator_promise<Y>* body_;
};

}  // namespace ringlet::detail

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
/// Thread: that of the fiber. The frame comes from the pool of the thread.
template <class Y>
class [[nodiscard]] async_generator {
  static_assert(std::is_object_v<Y>, "yield a pointer, not a reference");

 public:
  using promise_type = detail::async_generator_promise<Y>;

  /// `co_await` it to run the body to its next value. Errors and cancellation: those of the body,
  /// as above; values yielded before are not lost.
  detail::next_awaiter<Y> next() noexcept {
    RINGLET_ASSERT(promise_ != nullptr, "an empty async_generator (moved from) was used");
    return detail::next_awaiter<Y>(*promise_);
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
