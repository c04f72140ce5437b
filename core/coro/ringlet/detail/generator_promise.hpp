// The promise of a generator.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/nest.hpp>
#include <ringlet/detail/yielded_copy.hpp>
#include <ringlet/elements_of.hpp>
#include <ringlet/extend/assert.hpp>

#include <coroutine>
#include <type_traits>

namespace ringlet {

template <class Y, class R = void>
class generator;

}  // namespace ringlet

namespace ringlet::detail {

/// The promise of a generator. Points to the yielded value, in the frame of the body.
template <class Y, class R>
class generator_promise final : public detail::yielding_promise<R> {
 public:
  using element = std::remove_reference_t<Y>;
  using reference = std::conditional_t<std::is_reference_v<Y>, Y, Y&&>;

  generator_promise() noexcept
      : detail::yielding_promise<R>(std::coroutine_handle<generator_promise>::from_promise(*this)) {
  }
  generator<Y, R> get_return_object() noexcept { return generator<Y, R>(this); }

  std::suspend_always yield_value(reference value) noexcept {
    this->yield(value);
    return {};
  }
  auto yield_value(const element& value) requires(!std::is_reference_v<Y> &&
                                                  std::copy_constructible<element>) {
    return detail::yielded_copy<element, std::suspend_always>(value, {});
  }
  template <class R2>
  auto yield_value(elements_of<generator<Y, R2>> part) noexcept {
    return detail::part_awaiter<generator_promise<Y, R2>>(*part.whole().release());
  }

  /// Advances to the next element; throws the exception of the body.
  void advance() {
    this->resume();
    if (this->has_ended()) this->rethrow();
  }
  reference current() const noexcept {
    RINGLET_ASSERT(this->yielded() != nullptr, "an iterator of a generator was read at the end");
    return static_cast<reference>(*static_cast<element*>(this->yielded()));
  }
};

}  // namespace ringlet::detail
