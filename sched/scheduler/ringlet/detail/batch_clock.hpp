// batch_clock: how long fibers run before timers and the kernel have their turn.
#pragma once

#include <ringlet/extend/engine.hpp>

namespace ringlet::detail {

/// Counts the resumptions of one batch, and reads the clock now and then.
///
/// Reading it takes longer than many a resumption: it is read after as many resumptions as took
/// `reading_interval` the last time, at least one, at most `reading_every_max`, and at most twice
/// the number before. After a long resumption, which many short ones may hide, it is read after
/// each of the next `wary_max`.
class batch_clock {
 public:
  void begin(extend::steady_ns now) noexcept {
    begin_ = last_reading_ = now;
    left_ = batch_max;
  }
  /// After how many resumptions the clock is to be read. What a batch leaves of them is the next
  /// one's.
  int until_reading() const noexcept { return until_reading_; }
  void set_until_reading(int left) noexcept { until_reading_ = left; }
  /// After that many resumptions: returns after how many it is to be called again.
  int read(extend::steady_ns now) noexcept;
  /// Whether the batch ends here; read() tells.
  bool is_over() const noexcept { return left_ == 0; }

 private:
  // A batch resumes at most that often, and ends at the first reading of the clock after that time.
  static constexpr int batch_max = 256;
  static constexpr extend::steady_ns batch_time_max = 1'000'000;
  static constexpr extend::steady_ns reading_interval = 250'000;
  static constexpr int reading_every_max = 64;
  static constexpr int wary_max = 1024;

  extend::steady_ns begin_ = 0;
  extend::steady_ns last_reading_ = 0;  // in this batch, or its begin
  int left_ = batch_max;                // resumptions, at the last reading
  int reading_every_ = 1;               // resumptions from one reading of the clock to the next
  int wary_left_ = 0;                   // resumptions after each of which it is read
  int until_reading_ = 1;  // what was left of them at the begin of the batch or last reading
};

}  // namespace ringlet::detail
