// What a coroutine returned or threw, kept in its promise until it is taken.
#pragma once

#include <concepts>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// What a coroutine that should return a value returns after `co_await fail_with(error)`.
struct failed {};

/// The base of a promise that gives it return_value() or return_void(), and unhandled_exception().
template <class T>
class returned {
 public:
  returned() noexcept {}
  returned(const returned&) = delete;
  returned& operator=(const returned&) = delete;
  ~returned() {
    if (state_ == state::value) std::destroy_at(&value_);
    if (state_ == state::error) std::destroy_at(&error_);
  }

  template <class U = T>
  requires std::constructible_from<T, U&&>
  void return_value(U&& value) noexcept(std::is_nothrow_constructible_v<T, U&&>) {
    ::new (static_cast<void*>(std::addressof(value_))) T(std::forward<U>(value));
    state_ = state::value;
  }
  void return_value(failed) noexcept {}
  void unhandled_exception() noexcept { fail(std::current_exception()); }
  void fail(std::exception_ptr error) noexcept {
    ::new (static_cast<void*>(&error_)) std::exception_ptr(std::move(error));
    state_ = state::error;
  }

  /// Moves the value out, or throws the exception. Precondition: the coroutine has ended.
  T take() {
    rethrow();
    return std::move(value_);
  }
  /// Throws the exception, if there is one that was not thrown yet.
  void rethrow() {
    if (state_ == state::error && error_) [[unlikely]]
      std::rethrow_exception(std::exchange(error_, {}));
  }
  /// The exception that ended the coroutine, or null.
  std::exception_ptr error() const noexcept {
    return state_ == state::error ? error_ : std::exception_ptr();
  }
  bool has_value() const noexcept { return state_ == state::value; }
  bool has_failed() const noexcept { return state_ == state::error; }

 private:
  enum class state : unsigned char { empty, value, error };
  union {
    T value_;
    std::exception_ptr error_;
  };
  state state_ = state::empty;
};

template <class T>
class returned<T&> {
 public:
  void return_value(T& value) noexcept { value_ = std::addressof(value); }
  void return_value(failed) noexcept {}
  void unhandled_exception() noexcept { fail(std::current_exception()); }
  void fail(std::exception_ptr error) noexcept { error_ = std::move(error); }

  T& take() {
    rethrow();
    return *value_;
  }
  void rethrow() {
    if (error_) [[unlikely]]
      std::rethrow_exception(std::exchange(error_, {}));
  }
  std::exception_ptr error() const noexcept { return error_; }
  bool has_value() const noexcept { return value_ != nullptr; }
  bool has_failed() const noexcept { return error_ != nullptr; }

 private:
  T* value_ = nullptr;
  std::exception_ptr error_;
};

template <>
class returned<void> {
 public:
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { fail(std::current_exception()); }
  void fail(std::exception_ptr error) noexcept { error_ = std::move(error); }

  void take() { rethrow(); }
  void rethrow() {
    if (error_) [[unlikely]]
      std::rethrow_exception(std::exchange(error_, {}));
  }
  std::exception_ptr error() const noexcept { return error_; }
  bool has_failed() const noexcept { return error_ != nullptr; }

 private:
  std::exception_ptr error_;
};

}  // namespace ringlet::detail
