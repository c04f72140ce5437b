// Waiting for a short_mutex: trying for a while, then sleeping.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/short_mutex.hpp>

namespace ringlet::detail {

namespace {

// About a microsecond: longer than most sections, shorter than it takes to sleep and to wake up.
constexpr int tries_max = 40;

void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void short_mutex::lock_slowly() noexcept {
  for (int i = 0; i < tries_max; ++i) {
    pause();
    if (overtaken_.load(std::memory_order_relaxed) == 0 && mutex_.try_lock()) return;
  }
  overtaken_.fetch_add(1, std::memory_order_relaxed);
  mutex_.lock();
  overtaken_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace ringlet::detail
