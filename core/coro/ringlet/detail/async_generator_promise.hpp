// The promise of an async_generator, and the wait for its next value.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/returned.hpp>
#include <ringlet/detail/yielded_copy.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/task.hpp>

#include <coroutine>
#include <memory>
#include <optional>
#include <utility>

namespace ringlet {

template <class Y>
class async_generator;

}  // namespace ringlet

namespace ringlet::detail {

/// While a coroutine awaits the next value, the generator is part of that coroutine's chain. At
/// other times, its parent and chain are null.
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

}  // namespace ringlet::detail
