// short_mutex: a mutex for sections of a few instructions, which a thread that locks it in a loop
// cannot keep for itself.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <mutex>

namespace ringlet::detail {

/// A std::mutex with a gate. std::mutex lets a running thread overtake those that sleep, which is
/// fast; but a thread that locks it in a loop would overtake them every time. So a thread that has
/// tried for about a microsecond closes the gate and then sleeps. While the gate is closed, a
/// thread that arrives pauses for as long before it tries. The mutex is then free most of the time,
/// and the sleeper gets it when it wakes.
/// Thread: any. It may be destroyed as soon as no thread holds it or waits for it.
class short_mutex {
 public:
  void lock() noexcept {
    if (overtaken_.load(std::memory_order_relaxed) == 0 && mutex_.try_lock()) return;
    lock_slowly();
  }
  void unlock() noexcept { mutex_.unlock(); }

 private:
  void lock_slowly() noexcept;

  std::mutex mutex_;
  std::atomic<int> overtaken_ = 0;  // threads that sleep, or are about to; the gate
};

}  // namespace ringlet::detail
