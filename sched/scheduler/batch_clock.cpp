// When a batch of resumptions ends.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/batch_clock.hpp>

#include <algorithm>

namespace ringlet::detail {
using namespace extend;

int batch_clock::read(steady_ns now) noexcept {
  const steady_ns taken = std::max<steady_ns>(now - last_reading_, 1);
  wary_left_ = taken > 2 * reading_interval ? wary_max : std::max(wary_left_ - until_reading_, 0);
  // Grows slowly: one short resumption between long ones tells little about the next ones.
  const int most = wary_left_ != 0 ? 1 : std::min(2 * reading_every_, reading_every_max);
  reading_every_ =
      static_cast<int>(std::clamp<steady_ns>(until_reading_ * reading_interval / taken, 1, most));
  last_reading_ = now;
  left_ = now - begin_ < batch_time_max ? left_ - until_reading_ : 0;
  until_reading_ = left_ == 0 ? reading_every_ : std::min(reading_every_, left_);
  return until_reading_;
}

}  // namespace ringlet::detail
