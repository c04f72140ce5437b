// A histogram of latencies: fixed size, full range, error below one percent.
//
// Each value below 256 ns has its own bucket. Above, every power of two is divided into 128 equal
// buckets, so a bucket is never wider than 1/128 (0.8 %) of the values in it. The middle of a
// bucket is reported, so the error is at most half of that. Adding is a shift, a subtraction and an
// increment, and its cost does not depend on the number of values: it can be part of the measured
// loop. The 64-bit range takes 7,424 buckets (58 KiB), of which a run touches a few cache lines.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace bench {

class histogram {
 public:
  void add(std::uint64_t value) noexcept {
    ++buckets_[index_of(value)];
    ++count_;
    sum_ += static_cast<double>(value);
    max_ = std::max(max_, value);
    min_ = std::min(min_, value);
  }

  void merge(const histogram& other) noexcept {
    for (std::size_t index = 0; index < buckets_.size(); ++index) {
      buckets_[index] += other.buckets_[index];
    }
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
    min_ = std::min(min_, other.min_);
  }

  /// The smallest value that `percent` of all values do not exceed; 0 if there are none. 100
  /// returns the exact maximum.
  std::uint64_t percentile(double percent) const noexcept {
    if (count_ == 0) return 0;
    const double wanted = std::ceil(static_cast<double>(count_) * percent / 100.0);
    const auto rank =
        std::clamp(static_cast<std::uint64_t>(std::max(wanted, 1.0)), std::uint64_t{1}, count_);
    if (rank == count_) return max_;
    std::uint64_t seen = 0;
    for (std::size_t index = 0; index < buckets_.size(); ++index) {
      seen += buckets_[index];
      if (seen >= rank) return std::clamp(middle_of(index), min_, max_);
    }
    return max_;
  }

  std::uint64_t count() const noexcept { return count_; }
  std::uint64_t max() const noexcept { return max_; }
  std::uint64_t min() const noexcept { return count_ == 0 ? 0 : min_; }
  double mean() const noexcept { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

 private:
  static constexpr unsigned precision_bits = 7;
  static constexpr std::uint64_t per_power = std::uint64_t{1} << precision_bits;
  static constexpr std::size_t bucket_count = (64 - precision_bits + 1) * per_power;

  // The top seven bits below the leading one choose the bucket within the power of two. Values
  // below 2 * per_power need no shift and are their own index, so the two ranges join without a
  // gap.
  static constexpr std::size_t index_of(std::uint64_t value) noexcept {
    const unsigned width = static_cast<unsigned>(std::bit_width(value | per_power));
    const unsigned shift = width - precision_bits - 1;
    return shift * per_power + (value >> shift);
  }

  static constexpr std::uint64_t middle_of(std::size_t index) noexcept {
    if (index < 2 * per_power) return index;
    const std::size_t shift = index / per_power - 1;
    const std::uint64_t first = (index - shift * per_power) << shift;
    return first + (std::uint64_t{1} << shift) / 2;
  }

  static_assert((64 - precision_bits - 1) * per_power +
                        (~std::uint64_t{0} >> (63 - precision_bits)) ==
                    bucket_count - 1,
                "the largest value has the last bucket");

  std::array<std::uint64_t, bucket_count> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
  std::uint64_t min_ = ~std::uint64_t{0};
  double sum_ = 0;
};

}  // namespace bench
