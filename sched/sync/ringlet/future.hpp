// future: a value or an error that comes later, for any number of fibers; see promise.
//
//     task<> print_when_ready(future<std::string> later) {
//       const std::string& text = co_await later.get();  // or throws the promise's error
//       co_await standard_output().write_all(text);
//     }
//     void print_soon(promise<std::string>& from) { spawn(print_when_ready, from.get_future()); }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/future_state.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/future_waits.hpp>
#include <ringlet/outcome.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace ringlet {

/// What a promise will have: a T, or an error. Copyable and cheap; all copies are the same future.
/// It is ready when the promise has been set, or has been destroyed, and stays ready.
///
/// Errors    What get() throws: the exception that the promise was given, each time;
///           errc::broken_promise if the promise was destroyed without one; errc::fiber_cancelled
///           if the fiber that the promise followed was killed; timed_out. An exception that the
///           promise was given, and that neither get() nor error() has shown when the last future
///           and the promise are gone, is reported like the failure of a fiber: see
///           options::on_unhandled_error. A broken promise or a killed fiber is not reported.
/// Cancellation  Loses nothing, and leaves the future as it is. Success wins: a wait that ended
///           because the future was ready returns the value. So does one whose limit has passed, if
///           the future is ready before its fiber runs.
/// Lifetime  The value lives as long as a future or the promise does, even after run() has
///           returned. Waits keep it alive, too.
/// Thread    That of the scheduler whose fibers use it. Other threads, even several at once, may
///           copy and drop futures, and read one that is ready (is_ready() was seen to be true on
///           the scheduler's thread). Other calls abort there. To set a promise from another
///           thread, use scheduler_handle::post().
/// Memory    One allocation by the promise, and one by each on_ready(). Waiting does not allocate.
template <class T = void>
class [[nodiscard]] future {
 public:
  using value_type = T;

  /// No future.
  future() noexcept = default;
  /// Takes over one reference.
  explicit future(detail::future_state<T>& adopted) noexcept : state_(&adopted) {}
  future(const future& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_reference();
  }
  future(future&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  future& operator=(future other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~future() {
    if (state_ != nullptr) state_->drop_reference();
  }

  /// Whether it is a future: not default-constructed, nor moved from. An empty one aborts if it is
  /// used.
  explicit operator bool() const noexcept { return state_ != nullptr; }
  friend bool operator==(const future& a, const future& b) noexcept { return a.state_ == b.state_; }

  /// Waits until the future is ready. Its error is neither thrown nor counted as handled. Returns
  /// false if the limit passed first. May be a part of a select().
  extend::future_wait wait(time_limit timeout = forever) const noexcept {
    return extend::future_wait(checked(), timeout);
  }
  /// Waits until the future is ready and returns a reference to its value, valid as long as a
  /// future exists. May be called repeatedly. May be a part of a select().
  extend::future_get_wait<T, false> get(time_limit timeout = forever) const& noexcept {
    return extend::future_get_wait<T, false>(checked(), timeout);
  }
  /// The same for an rvalue, but returns a T: a copy, because other futures may read the value,
  /// too. A T that cannot be copied is moved out; reading it again aborts.
  extend::future_get_wait<T, true> get(time_limit timeout = forever) && noexcept {
    return extend::future_get_wait<T, true>(checked(), timeout);
  }

  /// Whether get() returns, or throws, without waiting.
  bool is_ready() const noexcept { return checked().is_ready(); }
  /// Whether it is ready, and not with an error.
  bool has_value() const noexcept { return checked().has_value(); }
  /// What get() would throw now, or null. Counts as handling the error.
  std::exception_ptr error() const { return checked().error(); }
  /// What get() would return now. Aborts unless has_value().
  decltype(auto) value() const noexcept {
    RINGLET_ASSERT(has_value(), "the value of a future without a value was read");
    return std::as_const(checked().value()).get();
  }

  /// Calls `f(*this)` or `f()` when the future is ready: in the call that sets the promise, in the
  /// order of registration, after the waiting fibers have been woken and before they run. So `f`
  /// must not wait or return a task; it may spawn. If the future is ready already, `f` is called at
  /// the end of this turn, or, outside of run(), by on_ready(). An exception that `f` throws is
  /// reported like an unhandled failure of a fiber, and the other callbacks are still called.
  template <class F>
  callback_id on_ready(F&& f) const;
  /// Removes a callback. True if it was registered and will not be called.
  bool remove_callback(callback_id id) const noexcept { return checked().remove_callback(id); }

  /// For other parts of the library.
  detail::future_state<T>& state() const noexcept { return checked(); }

 private:
  detail::future_state<T>& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "an empty future was used");
    return *state_;
  }

  detail::future_state<T>* state_ = nullptr;
};

}  // namespace ringlet

namespace ringlet::detail {

template <class T, class F>
class ready_function final : public future_callback {
 public:
  static constexpr bool takes_future = std::invocable<F&, const future<T>&>;

  template <class G>
  ready_function(const future<T>& target, G&& function)
      : target_(target), function_(std::forward<G>(function)) {}

 private:
  void call() override {
    if constexpr (takes_future) {
      function_(target_);
    } else {
      function_();
    }
  }
  future_base& target() const noexcept override { return target_.state(); }

  future<T> target_;
  F function_;
};

/// The return type of a callback of on_ready().
template <class F, class T>
using answer_of_ready = typename std::conditional_t<std::invocable<F&, const future<T>&>,
                                                    std::invoke_result<F&, const future<T>&>,
                                                    std::invoke_result<F&>>::type;

}  // namespace ringlet::detail

namespace ringlet {

template <class T>
template <class F>
callback_id future<T>::on_ready(F&& f) const {
  static_assert(!detail::is_task<detail::answer_of_ready<std::decay_t<F>, T>>,
                "on_ready() was given a function that makes a task, which would never run: call "
                "spawn() in it");
  using function = detail::ready_function<T, std::decay_t<F>>;
  return checked().add_callback(std::make_unique<function>(*this, std::forward<F>(f)));
}

}  // namespace ringlet
