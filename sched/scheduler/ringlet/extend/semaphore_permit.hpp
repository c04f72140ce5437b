// semaphore_permit: what acquire() of a semaphore returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>

namespace ringlet::detail {

/// Aborts: a permit for `held` was asked for `asked`.
[[noreturn, gnu::cold]] void refuse_permits(std::size_t held, std::size_t asked) noexcept;

}  // namespace ringlet::detail

namespace ringlet::extend {

/// Permits that a caller has: they go back to the semaphore when it is destroyed. Movable; one that
/// was moved from, or gave all of them back, is empty. The semaphore has give_back(count) and
/// use_up(count), for permits that are held.
template <class Semaphore>
class [[nodiscard]] semaphore_permit {
 public:
  /// An empty one.
  semaphore_permit() noexcept = default;
  semaphore_permit(semaphore_permit&& other) noexcept
      : of_(other.of_), count_(std::exchange(other.count_, 0)) {}
  semaphore_permit& operator=(semaphore_permit&& other) noexcept {
    semaphore_permit moved(std::move(other));
    std::swap(of_, moved.of_);
    std::swap(count_, moved.count_);
    return *this;
  }
  ~semaphore_permit() { release(); }

  /// How many it has.
  std::size_t count() const noexcept { return count_; }
  /// Whether it has any.
  explicit operator bool() const noexcept { return count_ != 0; }

  /// Moves `count` of its permits into another object. Aborts if it has fewer.
  semaphore_permit split(std::size_t count) noexcept {
    check(count);
    count_ -= count;
    return semaphore_permit(of_, count);
  }
  /// Gives all of them back early.
  void release() noexcept {
    if (count_ != 0) of_->give_back(std::exchange(count_, 0));
  }
  /// Gives `count` of them back. Aborts if it has fewer.
  void release(std::size_t count) noexcept {
    check(count);
    if (count == 0) return;
    count_ -= count;
    of_->give_back(count);
  }
  /// Uses all of them up: they do not go back. For a semaphore that counts things, and for a pair
  /// of calls that no scope joins, where another fiber calls release() of the semaphore later.
  void consume() noexcept {
    if (count_ != 0) of_->use_up(std::exchange(count_, 0));
  }

 private:
  friend Semaphore;
  friend typename Semaphore::acquire_wait;
  semaphore_permit(Semaphore* of, std::size_t count) noexcept : of_(of), count_(count) {}
  void check(std::size_t count) const noexcept {
    if (count > count_) [[unlikely]]
      detail::refuse_permits(count_, count);
  }

  Semaphore* of_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace ringlet::extend
