// The promise of a two_way_generator, and how values pass through a nest of them.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/nest.hpp>
#include <ringlet/detail/yielded_copy.hpp>
#include <ringlet/elements_of.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/generator_exit.hpp>

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace ringlet {

template <class Y, class S, class R = void>
class two_way_generator;

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

/// Awaited by the co_yield of a part. A part that returns when it is closed has ended, but the
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

/// The promise of a two_way_generator. Values in both directions stay where they were created, and
/// are moved once.
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
