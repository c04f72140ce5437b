// The waits for a future: what its wait() and get() return.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/future_state.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <coroutine>
#include <string>
#include <type_traits>

namespace ringlet::extend {

/// Waits until a future is ready; see future<T>::wait().
class [[nodiscard]] future_wait : public list_wait {
 public:
  future_wait(detail::future_base& on, time_limit timeout) noexcept : list_wait(timeout), on_(&on) {
    on.add_reference();  // the last future may be dropped during the wait
  }
  ~future_wait() { on_->drop_reference(); }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  /// True if it is ready, false if the limit passed first.
  result<bool> take() { return await_resume(); }
  bool await_resume() {
    rethrow_interruption();
    return on_->is_ready();
  }

  bool try_now() noexcept {
    if (on_->is_ready()) return true;
    on_->check_thread();
    return false;
  }
  void watch() noexcept {
    on_->waiters_.push_back(*this);
    on_->count_.add();
  }
  void unwatch() noexcept {
    if (!linked()) return;
    unlink();
    if (!on_->is_ready()) on_->count_.remove();
  }
  void on_cancel(cancel_reason reason) noexcept {
    if (!on_->is_ready()) reason_ = reason;
    unwatch();
    complete();
  }
  void describe(std::string& out) const;
  static const wait_type type;

 protected:
  detail::future_base* on_;
};

/// Waits until a future is ready and returns its value; see future<T>::get().
template <class T, bool ByValue>
class [[nodiscard]] future_get_wait : public future_wait {
 public:
  using value_type = std::conditional_t<ByValue || std::is_void_v<T> || std::is_reference_v<T>, T,
                                        std::add_lvalue_reference_t<const T>>;

  future_get_wait(detail::future_state<T>& on, time_limit timeout) noexcept
      : future_wait(on, timeout) {}

  /// The value, or the error: of a std::system_error its code. Any other exception passes through.
  /// Only for values that a result can hold.
  result<std::remove_cvref_t<value_type>> take() requires(
      std::is_void_v<T> ||
      (!std::is_reference_v<T> && std::is_constructible_v<std::remove_cv_t<T>, value_type>)) {
    rethrow_interruption();
    if (!on_->is_ready()) return cancellation_error();
    return detail::value_or_code<std::remove_cvref_t<value_type>>(
        [this]() -> decltype(auto) { return value_or_throw(); });
  }
  value_type await_resume() {
    rethrow_interruption();
    if (!on_->is_ready()) throw_error(cancellation_error(), "get");
    return value_or_throw();
  }

 private:
  value_type value_or_throw() {
    if (!on_->has_value()) on_->throw_error();
    auto& value = static_cast<detail::future_state<T>&>(*on_).value();
    if constexpr (ByValue && std::is_object_v<T> && !std::copy_constructible<T>) {
      return value.move_out();
    } else {
      return value.get();
    }
  }
};

}  // namespace ringlet::extend
