// promise: sets the value or the error of a future, once.
//
//     std::unordered_map<int, promise<std::string>> asked;  // questions that wait for an answer
//
//     struct question {  // leaves nothing behind, also if the answer never comes
//       int id;
//       ~question() { asked.erase(id); }
//     };
//     task<std::string> answer_to(int id) {
//       const question open{id};
//       const future<std::string> answer = asked[id].get_future();
//       co_return co_await answer.get(5s);
//     }
//     void on_answer(int id, std::string text) {  // called by the fiber that reads answers
//       if (auto found = asked.extract(id)) found.mapped().set_value(std::move(text));
//     }
//
// Like gevent's AsyncResult, but set once. The value of a fiber needs no promise: see fiber::get().
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/future_state.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/future.hpp>
#include <ringlet/outcome.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <source_location>
#include <system_error>
#include <type_traits>
#include <utility>

namespace ringlet {

/// The side of a future that sets it. Movable; one that was moved from is empty. Setting wakes the
/// fibers that wait for the future: 256 at once, and then 256 each turn of the scheduler. It then
/// calls the future's callbacks. The caller continues.
///
/// Errors    Setting it twice aborts; the try_ forms return false. A promise that is destroyed, or
///           assigned to, before it was set breaks: its future has errc::broken_promise.
/// Cancellation  Setting does not wait. `cancelled` is not passed on as an error: the future then
///           has errc::fiber_cancelled, so that it ends no fiber that was not killed.
/// Lifetime  May outlive its futures, and they it.
/// Thread    That of the scheduler whose fibers use the future; on other threads setting it, and
///           destroying it unset, aborts. See future.
/// Memory    One allocation, by the constructor. Setting and breaking do not allocate.
template <class T = void>
class promise {
  static_assert(std::is_void_v<T> || std::is_lvalue_reference_v<T> || std::is_object_v<T>);
  static_assert(!std::is_same_v<std::remove_cv_t<T>, std::error_code>,
                "a promise of std::error_code could not tell a value from a failure: wrap the code "
                "in a struct of your own, or use its value()");

 public:
  using value_type = T;

  /// Messages name the place of the call. Throws std::bad_alloc.
  explicit promise(std::source_location made_at = std::source_location::current())
      : future_(*new detail::future_state<T>(made_at)) {}
  promise(promise&& other) noexcept = default;
  promise& operator=(promise&& other) noexcept {
    promise moved(std::move(other));
    std::swap(future_, moved.future_);
    return *this;
  }
  ~promise() {
    if (future_) future_.state().break_promise();
  }

  /// False for a promise that was moved from.
  explicit operator bool() const noexcept { return static_cast<bool>(future_); }
  /// The future that it sets. May be called repeatedly.
  future<T> get_future() const noexcept {
    check();
    return future_;
  }
  /// Whether the future is ready.
  bool is_set() const noexcept { return state().is_ready(); }

  /// Sets the value, which is moved or copied in. What that throws leaves the promise unset.
  template <class U = T>
  requires(!std::is_void_v<T> && std::convertible_to<U&&, T>) void set_value(U&& value) {
    if (!try_set_value(std::forward<U>(value))) abort_set_twice();
  }
  void set_value() requires std::is_void_v<T> {
    if (!try_set_value()) abort_set_twice();
  }
  /// The same; false if it was set before. `value` is then as it was.
  template <class U = T>
  requires(!std::is_void_v<T> && std::convertible_to<U&&, T>) bool try_set_value(U&& value) {
    return state().try_set_value(std::forward<U>(value));
  }
  bool try_set_value() requires std::is_void_v<T> { return state().try_set_value(); }

  /// Sets the error, which must not be null.
  void set_error(std::exception_ptr error) noexcept {
    if (!try_set_error(std::move(error))) abort_set_twice();
  }
  /// The same; false if it was set before.
  bool try_set_error(std::exception_ptr error) noexcept {
    return state().try_set_error(std::move(error));
  }

  /// Hands the promise over to `worker`: when that fiber has ended, it is set to a copy of the
  /// fiber's value, or to its error, which counts as handled there. If the fiber has ended
  /// already, this happens now. The promise that this is called on is empty afterwards:
  ///
  ///     task<int> sum_of(int a, int b) { co_return a + b; }
  ///     future<int> start_to_add(int a, int b) {
  ///       promise<int> sum;
  ///       future<int> later = sum.get_future();
  ///       std::move(sum).follow(spawn(sum_of, a, b));
  ///       return later;
  ///     }
  ///
  /// Throws std::bad_alloc, and then the promise is as it was.
  void follow(const fiber<T>& worker) &&
      requires(!std::is_object_v<T> || std::copy_constructible<T>) {
    end_with<false>(worker);
  }
  /// The same for an rvalue handle, but moves the value out of the fiber.
  void follow(fiber<T>&& worker) && { end_with<true>(worker); }

 private:
  template <bool MoveOut>
  class follower;

  /// Empty.
  explicit promise(std::nullptr_t) noexcept {}
  [[noreturn, gnu::cold]] static void abort_set_twice() noexcept {
    detail::broken_rule(
        "a promise was set twice: use try_set_value() or try_set_error() where another fiber may "
        "have set it",
        __FILE__, __LINE__);
  }
  void check() const noexcept { RINGLET_ASSERT(future_, "a promise was used after it was moved"); }
  detail::future_state<T>& state() const noexcept {
    check();
    return future_.state();
  }

  template <bool MoveOut>
  void end_with(const fiber<T>& worker);
  template <bool MoveOut>
  void take_from(const fiber<T>& ended) noexcept;

  future<T> future_;
};

/// Holds a promise until the fiber that it follows has ended.
template <class T>
template <bool MoveOut>
class promise<T>::follower final : public extend::done_callback {
 public:
  /// Holds none yet.
  explicit follower(const fiber<T>& followed) noexcept : followed_(followed) {}
  /// Takes it over.
  void hold(promise&& held) noexcept { held_.future_ = std::move(held.future_); }

 private:
  void call() override { held_.template take_from<MoveOut>(followed_); }
  extend::fiber_base& target() const noexcept override { return followed_.state(); }

  fiber<T> followed_;
  promise held_{nullptr};
};

template <class T>
template <bool MoveOut>
void promise<T>::end_with(const fiber<T>& worker) {
  if (is_set()) abort_set_twice();
  if (worker.done()) return take_from<MoveOut>(worker);
  auto added = std::make_unique<follower<MoveOut>>(worker);
  added->hold(std::move(*this));
  worker.state().add_callback(std::move(added));
}

template <class T>
template <bool MoveOut>
void promise<T>::take_from(const fiber<T>& ended) noexcept {
  const promise mine(std::move(*this));
  detail::future_state<T>& to = mine.state();
  detail::fiber_state<T>& from = ended.state();
  to.set_origin(from);
  try {
    if (from.result() == outcome::cancelled) {
      to.set_cancelled();
    } else if (from.result() == outcome::error) {
      to.try_set_error(from.error());
    } else if constexpr (std::is_void_v<T>) {
      to.try_set_value();
    } else if constexpr (MoveOut) {
      to.try_set_value(from.value().move_out());
    } else {
      to.try_set_value(from.value().get());
    }
  } catch (...) {  // thrown by the copy of the value
    to.try_set_error(std::current_exception());
  }
}

}  // namespace ringlet
