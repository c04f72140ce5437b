// task_guard: an item that was popped from a joinable_queue.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/task_count.hpp>
#include <ringlet/extend/assert.hpp>

#include <memory>
#include <utility>

namespace ringlet::extend {

/// Counts its item as done when it is destroyed, also if an exception unwinds the fiber. Movable;
/// one that was moved from has no item.
template <class T>
class [[nodiscard]] task_guard {
 public:
  task_guard(detail::task_count& of, T&& item) noexcept : of_(&of), item_(std::move(item)) {}
  task_guard(task_guard&& other) noexcept
      : of_(std::exchange(other.of_, nullptr)), item_(std::move(other.item_)) {}
  task_guard& operator=(task_guard&&) = delete;
  ~task_guard() {
    if (of_ != nullptr) of_->finish();
  }

  T& operator*() noexcept { return item_; }
  const T& operator*() const noexcept { return item_; }
  T* operator->() noexcept { return std::addressof(item_); }
  const T* operator->() const noexcept { return std::addressof(item_); }

  bool is_done() const noexcept { return of_ == nullptr; }
  /// Counts the item as done now; it can still be used. Aborts if it was done already.
  void done() noexcept {
    RINGLET_ASSERT(of_ != nullptr,
                   "done() was called for an item of a joinable_queue that was done already, or "
                   "was moved away");
    std::exchange(of_, nullptr)->finish();
  }

 private:
  detail::task_count* of_;
  T item_;
};

}  // namespace ringlet::extend
