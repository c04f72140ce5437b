// broadcast_waits: what send() of a broadcast, and receive() and next() of its subscribers, return.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/broadcast_base.hpp>
#include <ringlet/detail/broadcast_state.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/selection.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace ringlet {

template <class T>
class broadcast;

}  // namespace ringlet

namespace ringlet::extend {

/// A subscriber that waits for an item. An item that is sent ends all these waits at once, through
/// a wake_list; each takes its copy when its fiber resumes. So a wait that has lost a select() has
/// taken nothing.
class broadcast_wait : public list_wait {
 public:
  ~broadcast_wait() {
    if (on_ != nullptr) by_->wait_ = nullptr;
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }

  bool try_now() noexcept;
  void watch() noexcept;
  void unwatch() noexcept;
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  static const wait_type type;

 protected:
  broadcast_wait(detail::broadcast_subscriber& by, time_limit timeout) noexcept
      : list_wait(timeout), by_(&by) {}

  /// Called when the wait is over: no error if there is an item to receive.
  std::error_code error_of_end();

 private:
  friend class detail::broadcast_subscriber;

  /// Whether an item or close() has ended it, so that no other reason counts.
  bool is_over() const noexcept { return round_ != on_->woken_.round(); }

  detail::broadcast_subscriber* by_;
  detail::broadcast_base* on_ = nullptr;  // null until it is awaited
  std::uint32_t round_ = 0;
};

/// `Subscriber` is broadcast<T>::subscriber, which is incomplete here.
template <class T, class Subscriber>
class [[nodiscard]] broadcast_receive_wait : public broadcast_wait {
 public:
  broadcast_receive_wait(Subscriber& from, detail::broadcast_subscriber& by,
                         time_limit timeout) noexcept
      : broadcast_wait(by, timeout), from_(&from) {}

  result<T> take() {
    if (const std::error_code error = error_of_end()) return error;
    return from_->take();
  }
  T await_resume() {
    if (const std::error_code error = error_of_end()) throw_error(error, "receive");
    return from_->take();
  }

 protected:
  Subscriber* from_;
};

/// The same, and the end of the broadcast is no error.
template <class T, class Subscriber>
class [[nodiscard]] broadcast_next_wait : public broadcast_receive_wait<T, Subscriber> {
 public:
  using broadcast_receive_wait<T, Subscriber>::broadcast_receive_wait;

  result<std::optional<T>> take() {
    const std::error_code error = this->error_of_end();
    if (error == errc::closed) return std::optional<T>();
    if (error) return error;
    return std::optional<T>(this->from_->take());
  }
  std::optional<T> await_resume() { return detail::value_or_throw(take(), "next"); }
};

template <class T>
class [[nodiscard]] broadcast_send_wait : public list_wait {
 public:
  broadcast_send_wait(detail::broadcast_state<T>& to, T& item, time_limit timeout) noexcept
      : list_wait(timeout), to_(&to), item_(&item) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<void> take() {
    rethrow_interruption();
    if (item_ == nullptr) return {};
    if (reason_ == cancel_reason::none) reason_ = cancel_reason::closed;
    return cancellation_error();
  }
  void await_resume() { detail::value_or_throw(take(), "send"); }

  bool try_now() noexcept {
    if (to_->is_closed()) return true;
    if (!to_->put(*item_)) return false;
    item_ = nullptr;
    return true;
  }
  void watch() noexcept {
    round_ = to_->ended_senders_.round();
    to_->add_sender(*this);
  }
  void unwatch() noexcept {
    if (linked() && !is_over()) to_->remove_sender();
    unlink();
  }
  void on_cancel(cancel_reason reason) noexcept {
    if (!is_over()) {
      to_->remove_sender();
      reason_ = reason;
    }
    complete();
  }
  void describe(std::string& out) const { to_->describe(out); }
  static const wait_type type;

 private:
  friend class detail::broadcast_state<T>;

  /// Whether close() has ended it.
  bool is_over() const noexcept { return round_ != to_->ended_senders_.round(); }

  // It ends before its item is sent, which could end the select() that it is part of in another
  // way: by a receive() there.
  void send_and_complete() noexcept {
    const admission_hold both_end_first;
    to_->remove_sender();
    T& item = *std::exchange(item_, nullptr);
    complete();
    to_->send(item);
  }

  detail::broadcast_state<T>* to_;
  T* item_;  // null when it was sent
  std::uint32_t round_ = 0;
};

template <class T>
const wait_type broadcast_send_wait<T>::type = wait_base::make_type<broadcast_send_wait>("send");

template <class T>
struct broadcast_copy {
  T copy;
};

/// The same with a copy of the item.
template <class T>
class [[nodiscard]] broadcast_send_copy_wait : private broadcast_copy<T>,
                                               public broadcast_send_wait<T> {
 public:
  broadcast_send_copy_wait(detail::broadcast_state<T>& to, const T& item, time_limit timeout)
      : broadcast_copy<T>{T(item)}, broadcast_send_wait<T>(to, broadcast_copy<T>::copy, timeout) {}
};

}  // namespace ringlet::extend
