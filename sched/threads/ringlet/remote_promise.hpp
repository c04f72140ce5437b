// remote_promise: sets the value or the error of a remote_future, once, from any thread.
//
//     task<int> measure() {
//       remote_promise<int> measured;
//       const remote_future<int> number = measured.get_future();
//       library.read([answer = std::move(measured)](int value) mutable {
//         answer.set_value(value);  // on a thread of that library
//       });
//       co_return co_await number.get(5s);
//     }
//
// gevent's AsyncResult across threads, but set once. Within one scheduler, use promise.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/remote_state.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/remote_future.hpp>

#include <concepts>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

namespace ringlet {

/// The side of a remote_future that sets it. Movable; one that was moved from is empty. Setting
/// wakes the fibers and threads that wait, and takes time in proportion to their number.
///
/// Errors    Setting it twice aborts. A promise that is destroyed, or assigned to, before it was
///           set breaks: its future has errc::broken_promise. So does one that is set to
///           `cancelled`, which must not end a fiber that was not killed.
/// Lifetime  May outlive its futures, and be outlived by them.
/// Thread    Any, one at a time: the promise may be handed to another thread, with or without a
///           scheduler, and be set or destroyed there.
/// Memory    One allocation, by the constructor.
template <class T = void>
class remote_promise {
  static_assert(std::is_void_v<T> || std::is_object_v<T>);

 public:
  using value_type = T;

  /// Messages name the place of the call. Throws std::bad_alloc.
  explicit remote_promise(std::source_location made_at = std::source_location::current())
      : state_(new detail::remote_state<T>(made_at)), future_(*state_) {}
  remote_promise(remote_promise&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)), future_(std::move(other.future_)) {}
  remote_promise& operator=(remote_promise&& other) noexcept {
    remote_promise moved(std::move(other));
    std::swap(future_, moved.future_);
    std::swap(state_, moved.state_);
    return *this;
  }
  ~remote_promise() {
    if (state_ != nullptr) state_->break_promise();
  }

  /// False for a promise that was moved from.
  explicit operator bool() const noexcept { return state_ != nullptr; }
  /// The future that it sets. May be called repeatedly.
  remote_future<T> get_future() const noexcept {
    check();
    return future_;
  }
  /// Whether it was set.
  bool is_set() const noexcept {
    check();
    return state_->was_set();
  }

  /// Sets the value, which is moved or copied in. What that throws leaves the promise unset.
  template <class U = T>
  requires(!std::is_void_v<T> && std::convertible_to<U&&, T>) void set_value(U&& value) {
    check_unset();
    state_->set_value(std::forward<U>(value));
  }
  void set_value() requires std::is_void_v<T> {
    check_unset();
    state_->set_value();
  }
  /// Sets the error, which must not be null.
  void set_error(std::exception_ptr error) noexcept {
    check_unset();
    state_->set_error(std::move(error));
  }

 private:
  void check() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "a remote_promise was used after it was moved");
  }
  void check_unset() const noexcept {
    check();
    RINGLET_ASSERT(!state_->was_set(), "a remote_promise was set twice");
  }

  detail::remote_state<T>* state_;
  remote_future<T> future_;  // keeps it alive
};

}  // namespace ringlet
