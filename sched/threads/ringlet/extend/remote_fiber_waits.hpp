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
#include <string>
#include <type_traits>

namespace ringlet::extend {

/// See remote_fiber<T>::join() and kill().
class [[nodiscard]] remote_join_wait : public wait_base, public posted_work, public list_hook<> {
 public:
  remote_join_wait(detail::remote_fiber_base& target, time_limit timeout, bool kills) noexcept
      : wait_base(timeout), kills_(kills), target_(&target) {
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
    return reason_ == cancel_reason::none;
  }
  result<bool> take() { return await_resume(); }

  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  /// Tells the wait, from any thread, that the fiber has ended.
  void post() noexcept { fiber_->scheduler().engine().post(*this); }

 protected:
  bool begin(frame_record& at) noexcept;

 private:
  static void on_end(posted_work& received) noexcept;
  void end() noexcept;
  static const wait_type type;
  bool kills_;
  bool is_external_ = false;

 protected:
  detail::remote_fiber_base* target_;
};

/// See remote_fiber<T>::get().
template <class T, bool MoveOut>
class [[nodiscard]] remote_get_wait : public remote_join_wait {
 public:
  using value_type = std::conditional_t<MoveOut || std::is_void_v<T> || std::is_reference_v<T>, T,
                                        std::add_lvalue_reference_t<const T>>;

  remote_get_wait(detail::remote_fiber_state<T>& target, time_limit timeout) noexcept
      : remote_join_wait(target, timeout, false) {}

  value_type await_resume() {
    if (!remote_join_wait::await_resume()) throw_error(cancellation_error(), "get");
    if (target_->result() != outcome::value) target_->throw_failure();
    auto& value = static_cast<detail::remote_fiber_state<T>&>(*target_).value();
    if constexpr (MoveOut) {
      return value.move_out();
    } else {
      return value.get();
    }
  }
  /// The value, or the error code of a std::system_error. Any other exception propagates.
  result<std::remove_cvref_t<value_type>> take() requires(!std::is_reference_v<T>) {
    return detail::value_or_code<std::remove_cvref_t<value_type>>(
        [this]() -> decltype(auto) { return await_resume(); });
  }
};

}  // namespace ringlet::extend
