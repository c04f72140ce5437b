// The waits for the end of a fiber of another scheduler.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/remote_fiber_state.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstdint>
#include <string>
#include <type_traits>

namespace ringlet::extend {

/// See remote_fiber<T>::join(). The end of the fiber comes in a message of the wait's own. Until it
/// has come, the wait stays where it is.
class [[nodiscard]] remote_join_wait : public two_phase_wait,
                                       public posted_work,
                                       public list_hook<> {
 public:
  remote_join_wait(detail::remote_fiber_base& target, time_limit timeout) noexcept
      : two_phase_wait(timeout), target_(&target) {
    target_->add_reference();  // the last handle may be dropped during the wait
    run = &remote_join_wait::on_end;
  }
  ~remote_join_wait() { target_->drop_reference(); }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  /// True if the fiber has ended, false if the limit passed first.
  bool await_resume() {
    rethrow_interruption();
    return target_->done();
  }
  result<bool> take() { return await_resume(); }

  bool try_now() noexcept;
  void watch() noexcept;
  void unwatch() noexcept;
  /// Whether another wait of the select() has won, and the message is under way.
  bool lingers() const noexcept { return stage_ == stage::lingering; }
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  /// Tells the wait, from any thread, that the fiber has ended.
  void post() noexcept { fiber_->scheduler().engine().post(*this); }

  static const wait_type type;

 protected:
  bool begin(frame_record& at) noexcept { return begin_alone(*this, at); }

  detail::remote_fiber_base* target_;

 private:
  enum class stage : std::uint8_t { begun, watched, lingering, over };

  static void on_end(posted_work& received) noexcept;
  void end_now() noexcept;
  void stop_counting() noexcept;

  stage stage_ = stage::begun;
  // Within a runtime only its schedulers can end this wait, and the runtime finds a deadlock.
  // Elsewhere the wait counts in external_waits.
  bool is_counted_ = false;
};

/// A join that asks the fiber to end first; see remote_fiber<T>::kill().
class [[nodiscard]] remote_kill_wait : public remote_join_wait {
 public:
  using remote_join_wait::remote_join_wait;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_kill(caller.promise());
  }
  /// A kill does more than watch, so it cannot be part of a select().
  void watch() = delete;

 private:
  bool begin_kill(frame_record& at) noexcept;
};

/// See remote_fiber<T>::get().
template <class T, bool MoveOut>
class [[nodiscard]] remote_get_wait : public remote_join_wait {
 public:
  using value_type = std::conditional_t<MoveOut || std::is_void_v<T> || std::is_reference_v<T>, T,
                                        std::add_lvalue_reference_t<const T>>;

  remote_get_wait(detail::remote_fiber_state<T>& target, time_limit timeout) noexcept
      : remote_join_wait(target, timeout) {}

  value_type await_resume() {
    rethrow_interruption();
    if (!target_->done()) throw_error(cancellation_error(), "get");
    return yield_value();
  }
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

 private:
  value_type yield_value() {
    if (target_->result() != outcome::value) target_->throw_failure();
    auto& value = static_cast<detail::remote_fiber_state<T>&>(*target_).value();
    if constexpr (MoveOut) {
      return value.move_out();
    } else {
      return value.get();
    }
  }
};

}  // namespace ringlet::extend
