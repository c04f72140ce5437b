// Random numbers that are the same in every run.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace ringlet::test {

/// SplitMix64 (Steele, Lea, Flood 2014).
class random_numbers {
 public:
  explicit random_numbers(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t mixed = (state_ += 0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }
  /// 0 to count - 1.
  std::size_t below(std::size_t count) noexcept { return next() % count; }
  /// True once in `count` times.
  bool once_in(std::size_t count) noexcept { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace ringlet::test
