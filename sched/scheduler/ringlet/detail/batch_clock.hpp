// batch_clock: how long fibers run before timers and the kernel get their turn.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>

namespace ringlet::detail {

/// Counts the resumptions of one batch. Reads the clock only now and then, because reading it takes
/// longer than a short resumption.
///
/// The number of resumptions between two readings is the number that took `reading_interval` the
/// last time: at least one, at most `reading_every_max`, and at most twice the previous number. If
/// more than twice that interval has passed between two readings, the clock is read after each of
/// the next `wary_max` resumptions, because many short resumptions may hide a long one.
class batch_clock {
 public:
  void begin(extend::steady_ns now) noexcept {
    begin_ = last_reading_ = now;
    left_ = batch_max;
  }
  /// The number of resumptions after which read() must be called. A batch that ends earlier leaves
  /// the rest to the next batch.
  int until_reading() const noexcept { return until_reading_; }
  void set_until_reading(int left) noexcept { until_reading_ = left; }
  /// To be called after that many resumptions. Returns the number of resumptions until the next
  /// call.
  int read(extend::steady_ns now) noexcept;
  /// Whether the batch was over at the last read().
  bool is_over() const noexcept { return left_ == 0; }

 private:
  // A batch ends after `batch_max` resumptions, or at the first reading of the clock after
  // `batch_time_max` nanoseconds.
  static constexpr int batch_max = 256;
  static constexpr extend::steady_ns batch_time_max = 1'000'000;
  static constexpr extend::steady_ns reading_interval = 250'000;
  static constexpr int reading_every_max = 64;
  static constexpr int wary_max = 1024;

  extend::steady_ns begin_ = 0;
  extend::steady_ns last_reading_ = 0;  // in this batch, or its beginning
  int left_ = batch_max;                // resumptions left at the last reading
  int reading_every_ = 1;               // resumptions between two readings of the clock
  int wary_left_ = 0;                   // resumptions after each of which the clock is read
  // Resumptions until the next reading, counted from the beginning of the batch or the last
  // reading.
  int until_reading_ = 1;
};

}  // namespace ringlet::detail
