// What a coroutine returned or threw, kept in its promise until it is taken.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/frame_pool.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// What a coroutine with a result returns after `co_await fail_with(error)`.
struct failed {};

/// Storage for a T in a promise. The alignment of a promise is at most 16 bytes (see frame_record),
/// so a T with a larger one is aligned here.
template <class T>
class room {
 public:
  void* address() noexcept {
    void* first = bytes_;
    if constexpr (spare != 0) {
      std::size_t size = sizeof bytes_;
      std::align(alignof(T), sizeof(T), first, size);
    }
    return first;
  }
  /// Precondition: it holds a T.
  T& value() noexcept { return *std::launder(static_cast<T*>(address())); }

 private:
  static constexpr std::size_t given = std::min<std::size_t>(alignof(T), 16);
  static constexpr std::size_t spare = alignof(T) - given;
  alignas(given) std::byte bytes_[sizeof(T) + spare];
};

/// The base of a promise that gives it return_value() or return_void(), and unhandled_exception().
template <class T>
class returned {
 public:
  returned() noexcept {
    static_assert(alignof(T) <= frame_pool::alignment_max,
                  "the result of a task asks for an alignment of more than 4096 bytes");
  }
  returned(const returned&) = delete;
  returned& operator=(const returned&) = delete;
  ~returned() {
    if (state_ == state::value) std::destroy_at(std::addressof(value_.value()));
    if (state_ == state::error) std::destroy_at(&error_);
  }

  template <class U = T>
  requires std::constructible_from<T, U&&>
  void return_value(U&& value) noexcept(std::is_nothrow_constructible_v<T, U&&>) {
    ::new (value_.address()) T(std::forward<U>(value));
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
    return std::move(value_.value());
  }
  /// Throws the exception if there is one and it was not thrown yet.
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
    room<T> value_;
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
