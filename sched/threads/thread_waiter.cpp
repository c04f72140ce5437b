// Blocking a plain thread.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/concurrent_flag.hpp>
#include <ringlet/detail/thread_waiter.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/now.hpp>

#include <unistd.h>

#include <chrono>

namespace ringlet::detail {
using namespace extend;

void check_may_block(const char* rule) noexcept {
  RINGLET_ASSERT(current_scheduler_or_null() == nullptr, rule);
}

constinit const concurrent_waiter::kind thread_waiter::how = {&thread_waiter::on_served,
                                                              &thread_waiter::is_left_behind};

thread_waiter::thread_waiter() noexcept : concurrent_waiter(how), process_(::getpid()) {}

bool thread_waiter::wait(const time_limit& timeout) {
  using clock = std::chrono::steady_clock;
  if (timeout.is_forever()) {
    wait();
    return true;
  }
  const steady_ns deadline = timeout.resolve(now().time_since_epoch().count());
  std::unique_lock lock(mutex_);
  return notified_.wait_until(lock, clock::time_point(clock::duration(deadline)),
                              [this] { return is_notified_; });
}

void thread_waiter::wait() {
  std::unique_lock lock(mutex_);
  notified_.wait(lock, [this] { return is_notified_; });
}

// The thread may return, and destroy this, as soon as it gets the mutex.
void thread_waiter::on_served(concurrent_waiter& served) noexcept {
  auto& self = static_cast<thread_waiter&>(served);
  const std::lock_guard lock(self.mutex_);
  self.is_notified_ = true;
  self.notified_.notify_one();
}

bool thread_waiter::is_left_behind(const concurrent_waiter& waiter) noexcept {
  return static_cast<const thread_waiter&>(waiter).process_ != ::getpid();
}

bool wait_for_flag(concurrent_flag& flag, const time_limit& timeout) {
  thread_waiter waiter;
  if (flag.join(waiter) || waiter.wait(timeout)) return true;
  if (flag.leave(waiter)) return false;
  waiter.wait();
  return true;
}

}  // namespace ringlet::detail
