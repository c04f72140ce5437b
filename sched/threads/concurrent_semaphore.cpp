// Serving those that wait for permits, and refusing what a semaphore cannot do.
// SPDX-License-Identifier: MIT
#include <ringlet/concurrent_semaphore.hpp>
#include <ringlet/detail/thread_waiter.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/assert.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <iterator>
#include <mutex>
#include <stdexcept>

namespace ringlet {
using namespace extend;
using namespace detail;

const wait_type concurrent_semaphore::acquire_wait::type = make_type<acquire_wait>("acquire");

concurrent_semaphore::concurrent_semaphore(std::size_t count)
    : line_(count), total_(count), process_(::getpid()) {
  check(count);
}

concurrent_semaphore::~concurrent_semaphore() {
  RINGLET_ASSERT(line_.is_abandoned(),
                 "a concurrent_semaphore was destroyed while a fiber or a thread waited for it: it "
                 "must outlive all that use it");
  if (line_.available() == total_ || process_ != ::getpid()) return;
  broken_rule(fmt::format("a concurrent_semaphore was destroyed while {} of its permits were held: "
                          "it must outlive them",
                          total_ - line_.available())
                  .c_str(),
              __FILE__, __LINE__);
}

void concurrent_semaphore::check(std::size_t count) {
  if (count <= unlimited) return;
  throw std::invalid_argument(fmt::format(
      "the permits of a concurrent_semaphore are {}, but must be 0 to {}", count, unlimited));
}

concurrent_semaphore::permit concurrent_semaphore::acquire_blocking(std::size_t count,
                                                                    const time_limit& timeout) {
  check(count);
  check_may_block(
      "acquire_blocking() of a concurrent_semaphore was called on the thread of a scheduler, all "
      "fibers of which would stop: co_await acquire() there");
  thread_waiter waiter;
  if (!take(count, &waiter) && !waiter.wait(timeout)) {
    if (leave(waiter)) throw timed_out("acquire");
    waiter.wait();
  }
  return permit(this, count);
}

concurrent_semaphore::permit concurrent_semaphore::try_acquire(std::size_t count) {
  check(count);
  return line_.may_have(count) && take(count, nullptr) ? permit(this, count) : permit();
}

void concurrent_semaphore::release(std::size_t count) noexcept {
  served_waiters served;
  const std::lock_guard lock(mutex_);
  if (count > unlimited - total_) {
    broken_rule(fmt::format("release() of {} would give a concurrent_semaphore with {} permits "
                            "more than {}",
                            count, total_, unlimited)
                    .c_str(),
                __FILE__, __LINE__);
  }
  total_ += count;
  line_.give(count, served);
}

std::size_t concurrent_semaphore::waiting_peak() noexcept {
  const std::lock_guard lock(mutex_);
  return line_.waiting_peak();
}

bool concurrent_semaphore::take(std::size_t count, concurrent_waiter* waiter) noexcept {
  const std::lock_guard lock(mutex_);
  if (line_.try_take(count)) return true;
  if (waiter != nullptr) line_.join(*waiter, count);
  return false;
}

bool concurrent_semaphore::leave(concurrent_waiter& gone) noexcept {
  served_waiters served;
  const std::lock_guard lock(mutex_);
  return line_.leave(gone, served);
}

void concurrent_semaphore::give_back(std::size_t count) noexcept {
  served_waiters served;
  const std::lock_guard lock(mutex_);
  line_.give(count, served);
}

void concurrent_semaphore::use_up(std::size_t count) noexcept {
  const std::lock_guard lock(mutex_);
  total_ -= count;
}

void concurrent_semaphore::acquire_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out),
                 "{} of concurrent semaphore {} with {} free and {} waiting", count_,
                 static_cast<const void*>(from_), from_->available(), from_->waiting());
}

}  // namespace ringlet
