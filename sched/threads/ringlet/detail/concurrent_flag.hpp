// concurrent_flag: whether something has happened, and the fibers and threads that wait for that.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/concurrent_waiter.hpp>
#include <ringlet/detail/real_threads.hpp>
#include <ringlet/extend/intrusive_list.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace ringlet::detail {

/// The state of a concurrent_event, and of a remote_promise. Thread: any. `Threads` is
/// real_threads, or what a model checker puts in its place.
template <class Threads>
class basic_concurrent_flag {
 public:
  /// What happened before set() is visible to those that have seen true here. The thread in set()
  /// may still use the flag then; one that has waited knows that it does not.
  bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }
  std::size_t waiting() const noexcept { return waiting_.load(std::memory_order_relaxed); }

  /// Serves all that wait. Holds the mutex for a few instructions, however many there are.
  void set() noexcept {
    served_waiters served;
    const std::lock_guard lock(mutex_);
    set_.store(true, std::memory_order_release);
    if (line_.empty()) return;
    ++round_;
    waiting_.store(0, std::memory_order_relaxed);
    served.list_.splice_back(line_);
  }
  void reset() noexcept {
    const std::lock_guard lock(mutex_);
    set_.store(false, std::memory_order_relaxed);
  }
  /// True if it is set. Otherwise `last` joins those that wait.
  bool join(concurrent_waiter& last) noexcept {
    const std::lock_guard lock(mutex_);
    if (set_.load(std::memory_order_relaxed)) return true;
    last.round_ = round_;
    last.where_ = concurrent_waiter::standing::waiting;
    line_.push_back(last);
    waiting_.store(waiting() + 1, std::memory_order_relaxed);
    return false;
  }
  /// join() without a waiter.
  bool has_passed() noexcept {
    const std::lock_guard lock(mutex_);
    return set_.load(std::memory_order_relaxed);
  }
  /// False if it has been served.
  bool leave(concurrent_waiter& gone) noexcept {
    const std::lock_guard lock(mutex_);
    if (gone.round_ != round_) return false;
    gone.where_ = concurrent_waiter::standing::outside;
    line_.remove(gone);
    waiting_.store(waiting() - 1, std::memory_order_relaxed);
    return true;
  }
  /// See permit_line::is_abandoned().
  bool is_abandoned() noexcept {
    while (!line_.empty() && line_.front().stayed_with_parent()) line_.pop_front();
    return line_.empty();
  }

 private:
  template <class T>
  using atomic = typename Threads::template atomic<T>;

  typename Threads::mutex mutex_;
  atomic<bool> set_ = false;
  atomic<std::size_t> waiting_ = 0;
  // Counts the calls of set() that have served waiters: a waiter of an earlier round was served.
  std::uint32_t round_ = 0;
  extend::intrusive_list<concurrent_waiter> line_;
};

class concurrent_flag : public basic_concurrent_flag<real_threads> {};

}  // namespace ringlet::detail
