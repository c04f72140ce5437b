// remote_future_waits: what wait() and get() of a remote_future return.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/remote_state.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/concurrent_wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <coroutine>
#include <string>
#include <type_traits>

namespace ringlet::extend {

/// See remote_future::wait().
class [[nodiscard]] remote_future_wait : public basic_concurrent_wait<remote_future_wait> {
 public:
  remote_future_wait(detail::remote_state_base& on, time_limit timeout) noexcept
      : basic_concurrent_wait<remote_future_wait>(timeout), on_(&on) {
    on.add_reference();  // the last future may be dropped during the wait
  }
  ~remote_future_wait() { on_->drop_reference(); }

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

  bool try_now() noexcept { return on_->is_ready(); }
  bool join_line() noexcept { return on_->flag().join(*this); }
  bool leave_line() noexcept { return on_->flag().leave(*this); }
  void give_back() noexcept {}
  void describe(std::string& out) const;
  static const wait_type type;

 protected:
  detail::remote_state_base* on_;
};

/// See remote_future::get().
template <class T, bool ByValue>
class [[nodiscard]] remote_future_get_wait : public remote_future_wait {
 public:
  using value_type =
      std::conditional_t<ByValue || std::is_void_v<T>, T, std::add_lvalue_reference_t<const T>>;

  remote_future_get_wait(detail::remote_state<T>& on, time_limit timeout) noexcept
      : remote_future_wait(on, timeout) {}

  /// The value, or the error: of a std::system_error its code. Any other exception passes through.
  /// Only for values that a result can hold.
  result<std::remove_cvref_t<value_type>> take() requires(
      std::is_void_v<T> || std::is_constructible_v<std::remove_cvref_t<value_type>, value_type>) {
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
    auto& state = static_cast<detail::remote_state<T>&>(*on_);
    if constexpr (ByValue && std::is_object_v<T> && !std::copy_constructible<T>) {
      return state.move_out();
    } else {
      return state.value();
    }
  }
};

}  // namespace ringlet::extend
