// concurrent_queue_waits: what push() and pop() of a concurrent_queue wait in.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/concurrent_items.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/concurrent_wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// "0x7f30 with 3 of 16 items, ..."
void describe_concurrent_queue(std::string& out, const void* queue, std::size_t size,
                               std::size_t size_max, std::size_t pushing, std::size_t popping);

/// A base class, so that it is made before the wait that refers to it.
template <class T>
struct item_copy {
  T copy;
};

template <class T>
void describe_items(std::string& out, const concurrent_items<T>& items) {
  describe_concurrent_queue(out, &items, items.size(), items.capacity(), items.waiting_to_push(),
                            items.waiting_to_pop());
}

}  // namespace ringlet::detail

namespace ringlet::extend {

/// See concurrent_queue::push(), and push_some(), which returns a number.
template <class T, class Value>
class [[nodiscard]] concurrent_push_wait
    : public basic_concurrent_wait<concurrent_push_wait<T, Value>> {
  using items = detail::concurrent_items<T>;
  using base = basic_concurrent_wait<concurrent_push_wait<T, Value>>;

 public:
  concurrent_push_wait(items& to, T* first, std::size_t count, time_limit timeout) noexcept
      : base(timeout), to_(&to), first_(first), count_(count) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->begin_alone(*this, caller.promise());
  }
  result<Value> take() {
    if (this->where() == detail::concurrent_waiter::standing::served) {
      pushed_ = to_->push_served(first_, count_);
      if (pushed_ == 0) this->reason_ = cancel_reason::closed;
    }
    if (this->reason_ != cancel_reason::none) return this->cancellation_error();
    if constexpr (std::is_void_v<Value>) {
      return {};
    } else {
      return pushed_;
    }
  }
  Value await_resume() { return detail::value_or_throw(take(), "push"); }

  bool try_now() noexcept { return count_ == 0 || tries(nullptr); }
  bool join_line() noexcept { return tries(this); }
  bool leave_line() noexcept { return to_->leave_push(*this); }
  void give_back() noexcept { to_->give_place_back(); }
  void describe(std::string& out) const { detail::describe_items(out, *to_); }
  static const wait_type type;

 private:
  bool tries(detail::concurrent_waiter* waiter) noexcept {
    std::size_t count = count_;
    const auto answer = to_->push(first_, count, waiter);
    if (answer == items::answer::wait) return false;
    if (answer == items::answer::closed) this->reason_ = cancel_reason::closed;
    pushed_ = count;
    return true;
  }

  items* to_;
  T* first_;
  std::size_t count_;
  std::size_t pushed_ = 0;
};

template <class T, class Value>
const wait_type concurrent_push_wait<T, Value>::type =
    wait_base::make_type<concurrent_push_wait<T, Value>>("push to concurrent queue");

/// See concurrent_queue::push() of a copy.
template <class T>
class [[nodiscard]] concurrent_push_copy_wait : private detail::item_copy<T>,
                                                public concurrent_push_wait<T, void> {
 public:
  concurrent_push_copy_wait(detail::concurrent_items<T>& to, const T& item, time_limit timeout)
      : detail::item_copy<T>{item}, concurrent_push_wait<T, void>(to, &this->copy, 1, timeout) {}
};

/// See concurrent_queue::pop().
template <class T>
class [[nodiscard]] concurrent_pop_wait : public basic_concurrent_wait<concurrent_pop_wait<T>> {
  using items = detail::concurrent_items<T>;
  using base = basic_concurrent_wait<concurrent_pop_wait<T>>;

 public:
  concurrent_pop_wait(items& from, time_limit timeout) noexcept : base(timeout), from_(&from) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->begin_alone(*this, caller.promise());
  }
  result<T> take() {
    if (this->where() == detail::concurrent_waiter::standing::served) {
      from_->pop_served([this](T& item) noexcept { item_.emplace(std::move(item)); }, 1);
    }
    if (item_) return *std::move(item_);
    return this->cancellation_error();
  }
  T await_resume() { return detail::value_or_throw(take(), "pop"); }

  bool try_now() noexcept { return tries(nullptr); }
  bool join_line() noexcept { return tries(this); }
  bool leave_line() noexcept { return from_->leave_pop(*this); }
  void give_back() noexcept { from_->give_item_back(); }
  void describe(std::string& out) const { detail::describe_items(out, *from_); }
  static const wait_type type;

 private:
  bool tries(detail::concurrent_waiter* waiter) noexcept {
    std::size_t count = 1;
    const auto answer =
        from_->pop([this](T& item) noexcept { item_.emplace(std::move(item)); }, count, waiter);
    if (answer == items::answer::closed) this->reason_ = cancel_reason::closed;
    return answer != items::answer::wait;
  }

  items* from_;
  std::optional<T> item_;
};

template <class T>
const wait_type concurrent_pop_wait<T>::type =
    wait_base::make_type<concurrent_pop_wait<T>>("pop from concurrent queue");

/// See concurrent_queue::pop_some().
template <class T>
class [[nodiscard]] concurrent_pop_some_wait
    : public basic_concurrent_wait<concurrent_pop_some_wait<T>> {
  using items = detail::concurrent_items<T>;
  using base = basic_concurrent_wait<concurrent_pop_some_wait<T>>;

 public:
  concurrent_pop_some_wait(items& from, T* into, std::size_t count, time_limit timeout) noexcept
      : base(timeout), from_(&from), into_(into), count_(count) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->begin_alone(*this, caller.promise());
  }
  result<std::size_t> take() {
    if (this->where() == detail::concurrent_waiter::standing::served) {
      popped_ = from_->pop_served([this](T& item) noexcept { *into_++ = std::move(item); }, count_);
    }
    if (popped_ != 0 || count_ == 0) return popped_;
    return this->cancellation_error();
  }
  std::size_t await_resume() { return detail::value_or_throw(take(), "pop"); }

  bool try_now() noexcept { return count_ == 0 || tries(nullptr); }
  bool join_line() noexcept { return tries(this); }
  bool leave_line() noexcept { return from_->leave_pop(*this); }
  void give_back() noexcept { from_->give_item_back(); }
  void describe(std::string& out) const { detail::describe_items(out, *from_); }
  static const wait_type type;

 private:
  bool tries(detail::concurrent_waiter* waiter) noexcept {
    std::size_t count = count_;
    const auto answer =
        from_->pop([this](T& item) noexcept { *into_++ = std::move(item); }, count, waiter);
    if (answer == items::answer::closed) this->reason_ = cancel_reason::closed;
    if (answer == items::answer::done) popped_ = count;
    return answer != items::answer::wait;
  }

  items* from_;
  T* into_;
  std::size_t count_;
  std::size_t popped_ = 0;
};

template <class T>
const wait_type concurrent_pop_some_wait<T>::type =
    wait_base::make_type<concurrent_pop_some_wait<T>>("pop from concurrent queue");

}  // namespace ringlet::extend
