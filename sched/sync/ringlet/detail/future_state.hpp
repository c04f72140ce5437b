// future_state: what a promise and its futures share.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/future_base.hpp>
#include <ringlet/extend/assert.hpp>

#include <memory>
#include <optional>
#include <source_location>
#include <utility>

namespace ringlet::detail {

/// The value, once there is one.
template <class T>
class future_value {
 public:
  template <class U>
  void store(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  const T& get() const noexcept {
    RINGLET_ASSERT(value_.has_value(), "the value of a future was read after it was moved out");
    return *value_;
  }
  T move_out() {
    RINGLET_ASSERT(value_.has_value(), "the value of a future was moved out twice");
    T moved = std::move(*value_);
    value_.reset();
    return moved;
  }

 private:
  std::optional<T> value_;
};

template <class T>
class future_value<T&> {
 public:
  void store(T& value) noexcept { value_ = std::addressof(value); }
  T& get() const noexcept { return *value_; }

 private:
  T* value_ = nullptr;
};

template <>
class future_value<void> {
 public:
  void store() noexcept {}
  void get() const noexcept {}
};

template <class T>
class future_state final : public future_base {
 public:
  explicit future_state(const std::source_location& made_at) noexcept : future_base(made_at) {}

  /// Takes no value where there is none. False if it is ready already.
  template <class... Value>
  bool try_set_value(Value&&... value) {
    check_thread();
    if (is_ready()) return false;
    value_.store(std::forward<Value>(value)...);
    set_value();
    return true;
  }
  future_value<T>& value() noexcept { return value_; }

 private:
  [[no_unique_address]] future_value<T> value_;
};

}  // namespace ringlet::detail
