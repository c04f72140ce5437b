// fiber_state: a fiber with the value of its task.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/task.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// Stores the value of a task that succeeded, for handles that may outlive the fiber.
template <class T>
class fiber_value {
 public:
  using type = T;
  void keep(task_promise<T>& root) noexcept(std::is_nothrow_move_constructible_v<T>) {
    value_.emplace(root.take());
  }
  const T& get() const noexcept {
    RINGLET_ASSERT(value_.has_value(), "the value of a fiber was read after it had been moved out");
    return *value_;
  }
  T move_out() {
    RINGLET_ASSERT(value_.has_value(), "the value of a fiber was moved out twice");
    T moved = std::move(*value_);
    value_.reset();
    return moved;
  }

 private:
  std::optional<T> value_;
};

template <class T>
class fiber_value<T&> {
 public:
  void keep(task_promise<T&>& root) noexcept { value_ = std::addressof(root.take()); }
  T& get() const noexcept { return *value_; }
  T& move_out() const noexcept { return *value_; }

 private:
  T* value_ = nullptr;
};

template <>
class fiber_value<void> {
 public:
  void keep(task_promise<void>&) noexcept {}
  void get() const noexcept {}
  void move_out() const noexcept {}
};

/// A fiber whose task returns a T. It owns the coroutine of that task, its root. It needs no member
/// for the root: the chain of calls begins there, and is back there when the fiber has ended.
template <class T>
class fiber_state final : public extend::fiber_base {
 public:
  [[gnu::always_inline]] fiber_state(extend::scheduler& scheduler, extend::scope& around,
                                     task<T>&& root, const std::source_location& spawned_at)
      : extend::fiber_base(scheduler, around, spawned_at) {
    set_root(root.release());
  }
  [[gnu::always_inline]] ~fiber_state() = default;

  static void* operator new(std::size_t size) { return detail::frames.allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    detail::frames.deallocate(memory, size);
  }

  /// The value of the task, if the outcome is outcome::value.
  fiber_value<T>& value() noexcept { return value_; }

 private:
  void destroy() noexcept override { delete this; }

  void collect() noexcept override {
    // The frame is destroyed at the end of this call.
    const task<T> root(static_cast<task_promise<T>&>(*current_wait().at));
    if (!has_started() || root.promise().has_failed()) [[unlikely]] {
      collect_failure(root.promise());
    } else {
      keep_value(root.promise());
    }
  }

  [[gnu::noinline]] void collect_failure(task_promise<T>& root) noexcept {
    if (has_started()) return set_failure(root.error());
    root.chain = nullptr;
    set_never_started();
  }

  void keep_value(task_promise<T>& root) noexcept {
    if constexpr (noexcept(value_.keep(root))) {
      value_.keep(root);
    } else {
      try {
        value_.keep(root);
      } catch (...) {
        return set_failure(std::current_exception());
      }
    }
    set_value();
  }

  [[no_unique_address]] fiber_value<T> value_;
};

}  // namespace ringlet::detail
