// next_wait: what async_generator::next() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/async_generator_promise.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/result.hpp>

#include <coroutine>
#include <optional>

namespace ringlet::extend {

/// Runs the body of an async_generator to its next value, as a call of the awaiting fiber.
template <class Y>
class [[nodiscard]] next_wait {
 public:
  explicit next_wait(detail::async_generator_promise<Y>& body) noexcept : body_(&body) {}

  bool await_ready() const noexcept {
    RINGLET_ASSERT(!body_->is_running(),
                   "the next value of an async_generator was awaited while it was running");
    return body_->self().done();
  }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> consumer) noexcept {
    frame_record& record = consumer.promise();
    body_->parent = &record;
    body_->chain = record.chain;
    return transfer(*body_);
  }
  std::optional<Y> await_resume() { return body_->take_yielded(); }
  /// For as_result: a std::system_error of the body becomes the error.
  result<std::optional<Y>> take() {
    return detail::value_or_code<std::optional<Y>>([this] { return await_resume(); });
  }

 private:
  detail::async_generator_promise<Y>* body_;
};

}  // namespace ringlet::extend
