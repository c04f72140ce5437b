// cursor_counts: which of many cursors is the slowest, in O(1) for each step of one of them.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace ringlet::detail {

/// Counts how many cursors stand at each number. All of them stand at most `spread` behind the
/// number of the fastest.
class cursor_counts {
 public:
  /// Counts nothing, and has no memory.
  cursor_counts() noexcept = default;
  explicit cursor_counts(std::size_t spread)
      : places_(spread + 1), at_(std::make_unique<std::size_t[]>(places_)) {}

  bool empty() const noexcept { return count_ == 0; }
  /// Precondition: not empty.
  std::uint64_t slowest() const noexcept { return slowest_; }

  void add(std::uint64_t number) noexcept {
    if (count_ == 0 || number < slowest_) slowest_ = number;
    ++count_;
    ++at(number);
  }
  void remove(std::uint64_t number) noexcept {
    --count_;
    --at(number);
    find_slowest();
  }
  /// A cursor has moved from `number` to the next one.
  void advance(std::uint64_t number) noexcept {
    --at(number);
    ++at(number + 1);
    find_slowest();
  }

 private:
  std::size_t& at(std::uint64_t number) noexcept { return at_[number % places_]; }
  // Each step forward was made by a cursor, or by one that was added far behind.
  void find_slowest() noexcept {
    while (count_ != 0 && at(slowest_) == 0) ++slowest_;
  }

  std::size_t places_ = 0;
  std::unique_ptr<std::size_t[]> at_;
  std::size_t count_ = 0;
  std::uint64_t slowest_ = 0;
};

}  // namespace ringlet::detail
