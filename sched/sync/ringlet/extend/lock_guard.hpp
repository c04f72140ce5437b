// lock_guard: what lock() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

namespace ringlet::extend {

/// Unlocks when it is destroyed. Movable; one that was moved from, or unlocked, holds nothing. The
/// fiber that locked must also unlock: if the guard is destroyed in another fiber, or kept when the
/// fiber ends, that aborts.
template <class Lock>
class [[nodiscard]] lock_guard {
 public:
  /// Holds nothing.
  lock_guard() noexcept = default;
  /// Takes over one lock of the calling fiber; null for none.
  explicit lock_guard(Lock* locked) noexcept : locked_(locked) {}
  lock_guard(lock_guard&& other) noexcept : locked_(std::exchange(other.locked_, nullptr)) {}
  lock_guard& operator=(lock_guard&& other) noexcept {
    lock_guard moved(std::move(other));
    std::swap(locked_, moved.locked_);
    return *this;
  }
  ~lock_guard() {
    if (locked_ != nullptr) locked_->unlock();
  }

  explicit operator bool() const noexcept { return locked_ != nullptr; }
  /// Unlocks early; does nothing if it holds nothing.
  void unlock() noexcept {
    if (locked_ != nullptr) std::exchange(locked_, nullptr)->unlock();
  }

 private:
  Lock* locked_ = nullptr;
};

}  // namespace ringlet::extend
