// remote_state: what a remote_promise and its futures share.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/concurrent_flag.hpp>
#include <ringlet/extend/assert.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>

namespace ringlet::detail {

/// The part that does not depend on the value. Thread: any.
class remote_state_base {
 public:
  remote_state_base(const remote_state_base&) = delete;
  remote_state_base& operator=(const remote_state_base&) = delete;

  concurrent_flag& flag() noexcept { return flag_; }
  bool is_ready() const noexcept { return flag_.is_set(); }
  bool has_value() const noexcept { return is_ready() && error_ == nullptr && !is_broken_; }
  /// The exception instead of a value, or null; it then counts as handled. May allocate.
  std::exception_ptr error();
  /// Throws that exception.
  [[noreturn]] void throw_error();
  /// "main.cpp:12"
  std::string place() const;

  // For the promise, which only one thread at a time uses.

  bool was_set() const noexcept { return was_set_; }
  void set_error(std::exception_ptr error) noexcept;
  void break_promise() noexcept;

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) release();
  }

 protected:
  explicit remote_state_base(const std::source_location& made_at) noexcept : place_(made_at) {}
  virtual ~remote_state_base() = default;
  /// The value or the error is there.
  void settle() noexcept {
    was_set_ = true;
    flag_.set();
  }

 private:
  void release() noexcept;

  std::atomic<std::uint32_t> references_ = 1;
  std::atomic<bool> is_handled_ = false;
  bool was_set_ = false;
  bool is_broken_ = false;
  concurrent_flag flag_;
  std::exception_ptr error_;
  std::source_location place_;  // where the promise was made
};

template <class T>
class remote_state final : public remote_state_base {
 public:
  explicit remote_state(const std::source_location& made_at) noexcept
      : remote_state_base(made_at) {}

  template <class U>
  void set_value(U&& value) {
    value_.emplace(std::forward<U>(value));
    settle();
  }
  const T& value() const noexcept {
    check();
    return *value_;
  }
  T move_out() {
    if (moved_out_.exchange(true, std::memory_order_relaxed)) refuse();
    return *std::move(value_);
  }

 private:
  void check() const noexcept {
    if (moved_out_.load(std::memory_order_relaxed)) [[unlikely]]
      refuse();
  }
  [[noreturn, gnu::cold]] static void refuse() noexcept {
    broken_rule(
        "the value of a remote_future was used after it was moved out: only one caller "
        "may await `std::move(future).get()` of a type that cannot be copied",
        __FILE__, __LINE__);
  }

  std::optional<T> value_;
  std::atomic<bool> moved_out_ = false;
};

template <>
class remote_state<void> final : public remote_state_base {
 public:
  explicit remote_state(const std::source_location& made_at) noexcept
      : remote_state_base(made_at) {}
  void set_value() noexcept { settle(); }
  void value() const noexcept {}
};

}  // namespace ringlet::detail
