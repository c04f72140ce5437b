// queue_waits: what push(), pop() and wait_peek() of a basic_queue wait in.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/queue_base.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace ringlet::extend {

/// See basic_queue::push().
template <class Queue>
class [[nodiscard]] push_wait : public detail::queue_base::side_wait {
  using item_type = typename Queue::value_type;
  struct no_error {};

 public:
  push_wait(Queue& to, item_type& item, time_limit timeout) noexcept
      : side_wait(to, timeout), item_(&item) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return this->begin_alone(*this, caller.promise());
  }
  result<void> take() {
    if constexpr (Queue::compares) {
      if (error_ != nullptr) std::rethrow_exception(error_);
    }
    return this->cancellation_error();
  }
  void await_resume() { detail::value_or_throw(take(), "push"); }

  bool try_now() { return this->is_refused(to().closed_) || to().put(*item_); }
  void watch() noexcept {
    reason_ = cancel_reason::closed;  // unless it ends otherwise
    this->enter_line(to().pushers_);
    if (to().size_max_ == 0) to().wake_peekers();
  }
  void unwatch() noexcept { this->leave_line(to().pushers_); }
  void pass_on() noexcept { to().admit(); }  // it may have blocked lighter items
  void on_cancel(cancel_reason reason) noexcept {
    this->give_up(to().pushers_, reason);
    pass_on();
  }
  static const wait_type type;

 protected:
  friend Queue;
  /// For a place without an item.
  push_wait(Queue& to, time_limit timeout) noexcept : side_wait(to, timeout), item_(nullptr) {}
  Queue& to() const noexcept { return static_cast<Queue&>(*this->on_); }
  void stored() noexcept {
    reason_ = cancel_reason::none;
    this->complete();
  }

  item_type* item_;
  [[no_unique_address]] std::conditional_t<Queue::compares, std::exception_ptr, no_error> error_;
};

template <class Queue>
const wait_type push_wait<Queue>::type = wait_base::make_type<push_wait<Queue>>("push");

/// See basic_queue::push().
template <class Queue>
class [[nodiscard]] push_copy_wait : private Queue::copy_holder, public push_wait<Queue> {
  using copy_holder = typename Queue::copy_holder;

 public:
  push_copy_wait(Queue& to, const typename Queue::value_type& item, time_limit timeout)
      : copy_holder{typename Queue::value_type(item)},
        push_wait<Queue>(to, copy_holder::copy, timeout) {}
};

/// See basic_queue::pop().
template <class Queue>
class [[nodiscard]] pop_wait : public detail::queue_base::side_wait {
  using item_type = typename Queue::value_type;

 public:
  pop_wait(Queue& from, time_limit timeout) noexcept : side_wait(from, timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->begin_alone(*this, caller.promise());
  }
  result<item_type> take() {
    this->rethrow_interruption();
    if (item_) return *std::move(item_);
    return error();
  }
  item_type await_resume() {
    this->rethrow_interruption();
    if (!item_) throw_error(error(), "pop");
    return *std::move(item_);
  }

  bool try_now() noexcept { return from().take(item_) || this->is_refused(from().closed_); }
  void watch() noexcept { this->enter_line(from().poppers_); }
  void unwatch() noexcept { this->leave_line(from().poppers_); }
  void on_cancel(cancel_reason reason) noexcept { this->give_up(from().poppers_, reason); }
  static const wait_type type;

 protected:
  friend Queue;
  Queue& from() const noexcept { return static_cast<Queue&>(*this->on_); }
  /// Why it has no item.
  std::error_code error() {
    this->remember(cancel_reason::closed);
    return this->cancellation_error();
  }
  void give(item_type& item) noexcept {
    item_.emplace(std::move(item));
    this->complete();
  }

  std::optional<item_type> item_;
};

template <class Queue>
const wait_type pop_wait<Queue>::type = wait_base::make_type<pop_wait<Queue>>("pop");

/// Waits until there was an item, which another fiber may have taken since. See
/// basic_queue::wait_peek().
template <class Queue>
class [[nodiscard]] item_wait : public detail::queue_base::side_wait {
 public:
  item_wait(Queue& on, time_limit timeout) noexcept : side_wait(on, timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->begin_alone(*this, caller.promise());
  }
  result<void> take() { return this->cancellation_error(); }
  void await_resume() { detail::value_or_throw(take(), "peek"); }

  bool try_now() noexcept { return on().peek() != nullptr || this->is_refused(on().closed_); }
  void watch() noexcept {
    round_ = on().woken_.round();
    on().peekers_.push_back(*this);
  }
  void on_cancel(cancel_reason reason) noexcept {
    if (round_ == on().woken_.round()) reason_ = reason;
    this->complete();
  }
  static const wait_type type;

 private:
  Queue& on() const noexcept { return static_cast<Queue&>(*this->on_); }

  std::uint32_t round_ = 0;
};

template <class Queue>
const wait_type item_wait<Queue>::type = wait_base::make_type<item_wait<Queue>>("peek");

}  // namespace ringlet::extend
