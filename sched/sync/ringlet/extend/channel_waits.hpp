// channel_waits: what send(), receive() and reserve() of a channel wait in.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/channel_state.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/channel_permit.hpp>
#include <ringlet/extend/queue_waits.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <optional>
#include <utility>

namespace ringlet::extend {

/// See channel_sender::send().
template <class T>
class [[nodiscard]] channel_send_wait
    : public push_wait<typename detail::channel_state<T>::queue_type> {
  using base = push_wait<typename detail::channel_state<T>::queue_type>;

 public:
  using base::base;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return this->begin_alone(*this, caller.promise());
  }
  void await_resume() { detail::value_or_throw(this->take(), "send"); }
  static const wait_type type;
};

template <class T>
const wait_type channel_send_wait<T>::type = wait_base::make_type<channel_send_wait<T>>("send");

/// See channel_sender::send().
template <class T>
struct sent_copy {
  T copy;
};
template <class T>
class [[nodiscard]] channel_send_copy_wait : private sent_copy<T>, public channel_send_wait<T> {
 public:
  channel_send_copy_wait(detail::channel_state<T>& to, const T& item, time_limit timeout)
      : sent_copy<T>{T(item)}, channel_send_wait<T>(to, sent_copy<T>::copy, timeout) {}
};

/// See channel_receiver::receive().
template <class T>
class [[nodiscard]] channel_receive_wait
    : public pop_wait<typename detail::channel_state<T>::queue_type> {
  using base = pop_wait<typename detail::channel_state<T>::queue_type>;

 public:
  using base::base;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->begin_alone(*this, caller.promise());
  }
  result<std::optional<T>> take() {
    this->rethrow_interruption();
    if (this->item_) return std::move(this->item_);
    const std::error_code error = this->error();
    if (error == errc::closed) return std::optional<T>();
    return error;
  }
  std::optional<T> await_resume() { return detail::value_or_throw(take(), "receive"); }
  static const wait_type type;
};

template <class T>
const wait_type channel_receive_wait<T>::type =
    wait_base::make_type<channel_receive_wait<T>>("receive");

/// See channel_sender::reserve().
template <class T>
class [[nodiscard]] channel_reserve_wait
    : public push_wait<typename detail::channel_state<T>::queue_type> {
  using base = push_wait<typename detail::channel_state<T>::queue_type>;

 public:
  channel_reserve_wait(detail::channel_state<T>& at, time_limit timeout) noexcept
      : base(at, timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->begin_alone(*this, caller.promise());
  }
  result<channel_permit<T>> take() {
    if (const std::error_code error = this->cancellation_error()) return error;
    return channel_permit<T>(at());
  }
  channel_permit<T> await_resume() { return detail::value_or_throw(take(), "reserve"); }

  bool try_now() noexcept { return this->is_refused(at().is_closed()) || at().try_reserve(); }
  static const wait_type type;

 private:
  detail::channel_state<T>& at() const noexcept {
    return static_cast<detail::channel_state<T>&>(*this->on_);
  }
};

template <class T>
const wait_type channel_reserve_wait<T>::type =
    wait_base::make_type<channel_reserve_wait<T>>("reserve");

}  // namespace ringlet::extend
