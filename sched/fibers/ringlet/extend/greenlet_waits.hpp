// What a switch to a greenlet returns to co_await.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/greenlet_base.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/greenlet_exit.hpp>
#include <ringlet/result.hpp>
#include <ringlet/value_or_unit.hpp>

#include <coroutine>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace ringlet::extend {

/// What switch_wait and throw_wait share: how they end.
template <class T>
class switch_wait_base {
 public:
  switch_wait_base(const switch_wait_base&) = delete;
  switch_wait_base& operator=(const switch_wait_base&) = delete;

  bool await_ready() const noexcept { return false; }
  T await_resume() {
    if constexpr (std::is_void_v<T>) {
      here_->template receive<T>();
    } else {
      return here_->template receive<T>();
    }
  }
  /// Like await_resume(), but returns an error code instead of throwing a std::system_error:
  /// errc::fiber_cancelled, or the error of a failed greenlet. Other exceptions propagate.
  result<T> take() {
    if (here_->received == nullptr && here_->arrived.kind == detail::arrival::ended) {
      here_->tree->free_finished();
      return make_error_code(errc::fiber_cancelled);
    }
    return detail::value_or_code<T>([this]() -> decltype(auto) { return await_resume(); });
  }

 protected:
  explicit switch_wait_base(detail::greenlet_base& target) noexcept : target_(&target) {}

  detail::greenlet_base* target_;
  detail::greenlet_base* here_ = nullptr;
};

/// See greenlet_handle<T>::switch_to().
template <class T>
class [[nodiscard]] switch_wait : public switch_wait_base<T> {
 public:
  switch_wait(detail::greenlet_base& target, value_or_unit<T>& value) noexcept
      : switch_wait_base<T>(target), value_(std::addressof(value)) {}

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->target_->switch_to(caller.promise(), &detail::type_tag<T>, value_, this->here_);
  }

 private:
  value_or_unit<T>* value_;
};

/// The same with its own copy of the value.
template <class T>
class [[nodiscard]] copying_switch_wait : public switch_wait<T> {
 public:
  copying_switch_wait(detail::greenlet_base& target, const value_or_unit<T>& value)
      : switch_wait<T>(target, copy_), copy_(value) {}

 private:
  [[no_unique_address]] value_or_unit<T> copy_;
};

/// See greenlet_handle<T>::throw_into().
template <class T>
class [[nodiscard]] throw_wait : public switch_wait_base<T> {
 public:
  throw_wait(detail::greenlet_base& target, std::exception_ptr error) noexcept
      : switch_wait_base<T>(target), error_(std::move(error)) {
    RINGLET_ASSERT(error_ != nullptr, "throw_into() was given no exception");
  }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->target_->send(caller.promise(), &detail::type_tag<T>,
                               {detail::arrival::thrown, nullptr, nullptr, std::move(error_)},
                               this->here_);
  }

 private:
  std::exception_ptr error_;
};

}  // namespace ringlet::extend
