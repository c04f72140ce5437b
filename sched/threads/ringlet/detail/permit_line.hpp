// permit_line: permits, and the fibers and threads that wait for them in line.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/concurrent_waiter.hpp>
#include <ringlet/extend/intrusive_list.hpp>

#include <atomic>
#include <cstddef>

namespace ringlet::detail {

/// Permits go to those that wait, strictly in the order of their arrival: one that asks for many is
/// not overtaken by one that asks for few. The permits of a waiter that has been served are its
/// own, even before it runs.
///
/// All calls but the two first need the mutex of the object that this is a part of. Those two may
/// be late by what other threads do at the same time, and are exact about what happened before.
/// `Atomic` is std::atomic, or what a model checker puts in its place.
template <template <class> class Atomic = std::atomic>
class permit_line {
 public:
  explicit permit_line(std::size_t available) noexcept : available_(available) {}

  std::size_t available() const noexcept { return available_.load(std::memory_order_relaxed); }
  std::size_t waiting() const noexcept { return waiting_.load(std::memory_order_relaxed); }
  /// Whether try_take() is worth the mutex.
  bool may_have(std::size_t count) const noexcept { return waiting() == 0 && count <= available(); }

  /// The largest waiting() so far.
  std::size_t waiting_peak() const noexcept { return waiting_peak_; }

  bool try_take(std::size_t count) noexcept {
    if (!may_have(count)) return false;
    set_available(available() - count);
    return true;
  }
  void give(std::size_t count, served_waiters& served) noexcept {
    set_available(available() + count);
    admit(served);
  }

  /// Joins the line at its end.
  void join(concurrent_waiter& last, std::size_t count) noexcept {
    last.count_ = count;
    last.where_ = concurrent_waiter::standing::waiting;
    line_.push_back(last);
    set_waiting(waiting() + 1);
    if (waiting() > waiting_peak_) waiting_peak_ = waiting();
  }
  /// Leaves the line, and lets those behind it go ahead. False if it is in the line no longer.
  bool leave(concurrent_waiter& gone, served_waiters& served) noexcept {
    if (gone.where_ != concurrent_waiter::standing::waiting) return false;
    gone.where_ = concurrent_waiter::standing::outside;
    line_.remove(gone);
    set_waiting(waiting() - 1);
    admit(served);
    return true;
  }
  /// Ends all waits without permits.
  void refuse_all(served_waiters& served) noexcept {
    while (!line_.empty()) take_first(concurrent_waiter::standing::refused, served);
  }
  /// For destructors: forgets waiters of the parent in a child of fork(). False if others wait.
  bool is_abandoned() noexcept {
    while (!line_.empty() && line_.front().stayed_with_parent()) line_.pop_front();
    return line_.empty();
  }

 private:
  void admit(served_waiters& served) noexcept {
    while (!line_.empty() && line_.front().count_ <= available()) {
      set_available(available() - line_.front().count_);
      take_first(concurrent_waiter::standing::served, served);
    }
  }
  void take_first(concurrent_waiter::standing how, served_waiters& served) noexcept {
    concurrent_waiter& first = line_.pop_front();
    first.where_ = how;
    set_waiting(waiting() - 1);
    served.list_.push_back(first);
  }
  void set_available(std::size_t count) noexcept {
    available_.store(count, std::memory_order_relaxed);
  }
  void set_waiting(std::size_t count) noexcept { waiting_.store(count, std::memory_order_relaxed); }

  Atomic<std::size_t> available_;
  Atomic<std::size_t> waiting_ = 0;
  std::size_t waiting_peak_ = 0;
  extend::intrusive_list<concurrent_waiter> line_;
};

}  // namespace ringlet::detail
