// generator<Y, R>: a coroutine as a range of the values that it yields.
//
//     generator<int> squares(int count) {
//       for (int i = 0; i < count; ++i) co_yield i * i;
//     }
//
//     for (int square : squares(5)) show(square);  // 0 1 4 9 16
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/generator_promise.hpp>
#include <ringlet/detail/nest.hpp>
#include <ringlet/elements_of.hpp>
#include <ringlet/extend/assert.hpp>

#include <cstddef>
#include <iterator>
#include <type_traits>

namespace ringlet {

/// A call of a coroutine that yields values, as an input range of them. R is the type of the value
/// that its body returns, often void; see result().
///
/// Lazy: the body begins to run with begin(), and runs only while begin() or ++ is called, on the
/// stack and the thread of the caller. It cannot wait: co_await in it does not compile; use
/// async_generator for that.
///
/// The loop gets the yielded object itself, not a copy: for an object type Y a `Y&&`, which the
/// loop may move from. An lvalue that the body yields is copied first, unless Y is a reference:
/// `generator<const std::string&>` gives access to the body's own object. Either way the object is
/// valid until the next ++.
///
/// Ends when the body returns. Single pass: calling begin() again continues after the last element,
/// so a second loop resumes where a loop that was left by break stopped. After the end, begin()
/// returns end(). See elements_of for generators that yield from other generators, and
/// two_way_generator for coroutines that also receive values.
///
/// Errors    begin() or ++ throws the exception of the body, which also ends the generator. ++ at
///           the end, or inside the body that it would resume, aborts. Calling the coroutine throws
///           std::bad_alloc.
/// Lifetime  Parameters taken by reference must outlive the generator, as with a task. The
///           generator must outlive its iterators, and may be moved. One that is dropped early is
///           destroyed at its co_yield, with its locals, as if the scope had ended there. If the
///           body has not run, it never runs.
/// Thread    Any, one at a time: that of the caller of begin() and ++.
/// Memory    The frame, from the pool of the thread.
template <class Y, class R>
class [[nodiscard]] generator {
 public:
  using promise_type = detail::generator_promise<Y, R>;

  /// Points to the generator's frame, not to the generator: that may be moved.
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = std::remove_cvref_t<Y>;
    using difference_type = std::ptrdiff_t;

    iterator(iterator&& other) noexcept = default;
    iterator& operator=(iterator&& other) noexcept = default;

    typename promise_type::reference operator*() const noexcept { return promise_->current(); }
    iterator& operator++() {
      promise_->advance();
      return *this;
    }
    void operator++(int) { promise_->advance(); }
    friend bool operator==(const iterator& at, std::default_sentinel_t) noexcept {
      return at.promise_->has_ended();
    }

   private:
    friend class generator;
    explicit iterator(promise_type* promise) noexcept : promise_(promise) {}
    promise_type* promise_;
  };

  /// Runs the body to its next element.
  iterator begin() {
    promise_type& body = promise();
    if (!body.has_ended()) body.advance();
    return iterator(&body);
  }
  /// What an iterator is equal to when the body has ended.
  std::default_sentinel_t end() const noexcept { return {}; }

  /// Moves out the value that the body returned. Call it once, after the end, and not if the body
  /// threw.
  R result() requires(!std::is_void_v<R>) { return promise().take_result(); }

  /// For elements_of: releases the frame.
  promise_type* release() noexcept {
    promise();
    return promise_.release();
  }

 private:
  friend promise_type;
  explicit generator(promise_type* promise) noexcept : promise_(promise) {}

  promise_type& promise() const noexcept {
    RINGLET_ASSERT(promise_ != nullptr, "an empty generator (moved from) was used");
    return *promise_;
  }

  detail::nest_owner<promise_type> promise_;
};

}  // namespace ringlet
