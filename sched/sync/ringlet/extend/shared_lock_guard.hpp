// shared_lock_guard: what lock_shared() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

namespace ringlet::extend {

/// Gives its share of a lock back when it is destroyed. Movable, also to another fiber; one that
/// was moved from, or unlocked, holds nothing.
template <class Lock>
class [[nodiscard]] shared_lock_guard {
 public:
  /// Holds nothing.
  shared_lock_guard() noexcept = default;
  /// Takes over one share; null for none.
  explicit shared_lock_guard(Lock* shared) noexcept : shared_(shared) {}
  shared_lock_guard(shared_lock_guard&& other) noexcept
      : shared_(std::exchange(other.shared_, nullptr)) {}
  shared_lock_guard& operator=(shared_lock_guard&& other) noexcept {
    shared_lock_guard moved(std::move(other));
    std::swap(shared_, moved.shared_);
    return *this;
  }
  ~shared_lock_guard() { unlock(); }

  explicit operator bool() const noexcept { return shared_ != nullptr; }
  /// Gives the share back early; does nothing if it holds nothing.
  void unlock() noexcept {
    if (shared_ != nullptr) std::exchange(shared_, nullptr)->unlock_shared();
  }

 private:
  Lock* shared_ = nullptr;
};

}  // namespace ringlet::extend
