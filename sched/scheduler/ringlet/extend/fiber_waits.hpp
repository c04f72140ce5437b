// The waits for the end of a fiber: what join(), kill() and get() return.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/fiber_state.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>

namespace ringlet::extend {

/// Waits for the end of a fiber; see fiber<T>::join().
class [[nodiscard]] join_wait : public two_phase_wait, private done_watcher {
 public:
  /// The target need not be kept alive: it lives until it has ended, and the wait does not use it
  /// afterwards.
  join_wait(fiber_base& target, time_limit timeout) noexcept
      : two_phase_wait(timeout), done_watcher(&join_wait::on_ended), target_(&target) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  /// True if the fiber has ended, false if the limit passed first.
  result<bool> take() { return await_resume(); }
  bool await_resume() {
    rethrow_interruption();
    return reason_ == cancel_reason::none;
  }

  bool try_now() noexcept {
    RINGLET_ASSERT(fiber_ != target_, "a fiber joins itself, so its wait would never end");
    if (target_->done()) return true;
    target_->scheduler().check_thread("a fiber of another thread's scheduler cannot be joined");
    return false;
  }
  void watch() noexcept { target_->watch(*this); }
  void unwatch() noexcept { unlink(); }
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  static const wait_type type;

 protected:
  bool begin(frame_record& at) noexcept { return begin_alone(*this, at); }

  fiber_base* target_;

 private:
  static void on_ended(done_watcher& watcher) noexcept;
};

/// A join that asks the fiber to end first; see fiber<T>::kill().
class [[nodiscard]] kill_wait : public join_wait {
 public:
  /// Kills with `error`, or with `cancelled` if it is null.
  kill_wait(fiber_base& target, std::exception_ptr error, time_limit timeout) noexcept
      : join_wait(target, timeout), error_(std::move(error)) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return begin_kill(caller.promise());
  }
  /// A kill does more than watch, so it cannot be part of a select().
  void watch() = delete;

 private:
  bool begin_kill(frame_record& at);

  std::exception_ptr error_;
};

}  // namespace ringlet::extend

namespace ringlet::detail {

/// The error that get() throws for a fiber that ended without a value.
[[noreturn]] void throw_failure(extend::fiber_base& failed);
/// The same; for a killed fiber the message is `killed`.
[[noreturn]] void throw_failure(extend::fiber_base& failed, const char* killed);

}  // namespace ringlet::detail

namespace ringlet::extend {

/// Waits for the end of a fiber and returns its value; see fiber<T>::get().
template <class T, bool MoveOut>
class [[nodiscard]] get_wait : public join_wait {
 public:
  using value_type = std::conditional_t<MoveOut || std::is_void_v<T> || std::is_reference_v<T>, T,
                                        std::add_lvalue_reference_t<const T>>;

  get_wait(detail::fiber_state<T>& target, time_limit timeout) noexcept
      : join_wait(target, timeout) {
    target.add_reference();  // the last handle may be dropped during the wait
  }
  ~get_wait() { target_->drop_reference(); }

  /// The value (a copy, unless the handle was an rvalue), or the error code of a std::system_error
  /// that the task threw. Any other exception propagates. Only for values that a result can hold.
  result<std::remove_cvref_t<value_type>> take() requires(
      std::is_void_v<T> ||
      (!std::is_reference_v<T> && std::is_constructible_v<std::remove_cv_t<T>, value_type>)) {
    rethrow_interruption();
    if (!target_->done()) return cancellation_error();
    return detail::value_or_code<std::remove_cvref_t<value_type>>(
        [this]() -> decltype(auto) { return yield_value(); });
  }
  value_type await_resume() {
    rethrow_interruption();
    if (!target_->done()) throw_error(cancellation_error(), "get");
    return yield_value();
  }

 private:
  value_type yield_value() {
    if (target_->result() != outcome::value) detail::throw_failure(*target_);
    auto& state = static_cast<detail::fiber_state<T>&>(*target_);
    if constexpr (MoveOut) {
      return state.value().move_out();
    } else {
      return state.value().get();
    }
  }
};

}  // namespace ringlet::extend
