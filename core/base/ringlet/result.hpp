// result<T>: a value or the std::error_code that says why there is none.
//
//     task<bool> is_alive(std::string server) {
//       const result<tcp_stream> connection = co_await as_result(connect(server, 1s));
//       if (!connection) log(server, connection.error());
//       co_return connection.has_value();
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/error.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/value_or_unit.hpp>

#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

namespace ringlet {

/// The type of `co_await as_result(...)`: the value of a call, or its error, without throwing.
///
/// A value like any other: it can be copied if T can.
template <class T>
class [[nodiscard]] result {
  static_assert(!std::is_same_v<std::remove_cv_t<T>, std::error_code>,
                "a result of std::error_code could not tell a value from a failure: wrap the code "
                "in a struct of your own, or use its value()");

 public:
  using value_type = T;

  /// Success.
  result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  /// A failure.
  result(std::error_code error) noexcept : state_(std::in_place_index<1>, error) {}

  /// Whether there is a value.
  explicit operator bool() const noexcept { return has_value(); }
  /// The same.
  bool has_value() const noexcept { return state_.index() == 0; }

  /// The value. Aborts if there is an error instead: check first, or call value().
  T& operator*() & { return checked(); }
  const T& operator*() const& { return const_cast<result*>(this)->checked(); }
  T&& operator*() && { return std::move(checked()); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &const_cast<result*>(this)->checked(); }

  /// The error. Aborts if there is a value instead.
  std::error_code error() const noexcept {
    RINGLET_ASSERT(!has_value(), "the error of a result was read although it holds a value");
    return *std::get_if<1>(&state_);
  }

  /// The value; throws the error as std::system_error if there is none.
  T& value() & { return or_throw(); }
  T&& value() && { return std::move(or_throw()); }

  /// The value, or `fallback` if there is none.
  T value_or(T fallback) && { return has_value() ? std::move(checked()) : std::move(fallback); }

 private:
  T& checked() noexcept {
    RINGLET_ASSERT(has_value(), "the value of a result was read although it holds an error");
    return *std::get_if<0>(&state_);
  }
  T& or_throw() {
    if (!has_value()) throw_error(error(), "result");
    return checked();
  }

  std::variant<T, std::error_code> state_;
};

/// The result of a call that returns no value: success or an error.
template <>
class [[nodiscard]] result<void> {
 public:
  using value_type = void;

  result() noexcept = default;
  result(std::error_code error) noexcept : error_(error) {}

  explicit operator bool() const noexcept { return has_value(); }
  bool has_value() const noexcept { return !error_; }
  std::error_code error() const noexcept {
    RINGLET_ASSERT(!has_value(), "the error of a result was read although it holds a value");
    return error_;
  }
  void operator*() const noexcept {
    RINGLET_ASSERT(has_value(), "the value of a result was read although it holds an error");
  }
  void value() const {
    if (error_) throw_error(error_, "result");
  }

 private:
  std::error_code error_;
};

}  // namespace ringlet
