// concurrent_items: the items of a concurrent_queue, and those that wait at its ends.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/concurrent_waiter.hpp>
#include <ringlet/detail/permit_line.hpp>
#include <ringlet/detail/real_threads.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace ringlet::detail {

/// A ring of items, a permit for each item, and a permit for each free place.
///
/// A waiter at either end is served with a permit; it moves its item in or out when it runs. So an
/// item is in the ring, or with its producer, or with its consumer, and never on its way: a waiter
/// that gives its permit back instead changes no order, and loses nothing. Nothing is stranded: a
/// permit that is given back, and an item, go to a waiter or to a later call, and waits for items
/// end only when the ring is closed and has none.
template <class T, class Threads = real_threads>
class concurrent_items {
 public:
  enum class answer : std::uint8_t { done, wait, closed };
  /// How many items a call moves at most while it holds the mutex.
  static constexpr std::size_t at_once_max = 256;

  /// Precondition: `capacity` is not 0. Throws std::bad_alloc.
  explicit concurrent_items(std::size_t capacity)
      : items_(0), places_(capacity), capacity_(capacity), ring_(allocator().allocate(capacity)) {}
  concurrent_items(const concurrent_items&) = delete;
  concurrent_items& operator=(const concurrent_items&) = delete;
  ~concurrent_items() {
    for (; size() != 0; set_size(size() - 1)) std::destroy_at(&drop_first());
    allocator().deallocate(ring_, capacity_);
  }

  // These do not take the mutex; see permit_line about what they tell.

  std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }
  bool is_closed() const noexcept { return closed_.load(std::memory_order_relaxed); }
  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t waiting_to_push() const noexcept { return places_.waiting(); }
  std::size_t waiting_to_pop() const noexcept { return items_.waiting(); }
  bool may_have_room() const noexcept { return places_.may_have(1); }
  bool may_have_item() const noexcept { return items_.may_have(1); }

  /// The largest size() so far.
  std::size_t peak() noexcept {
    const std::lock_guard lock(mutex_);
    return peak_;
  }

  /// Moves the first of `count` items in, as many as there is room for, and sets `count` to their
  /// number. If there is no room, `waiter`, if there is one, joins the line.
  answer push(T* first, std::size_t& count, concurrent_waiter* waiter) noexcept {
    served_waiters served;
    const std::lock_guard lock(mutex_);
    if (is_closed()) return answer::closed;
    if (!places_.try_take(1)) {
      if (waiter != nullptr) places_.join(*waiter, 1);
      return answer::wait;
    }
    store(first, count = 1 + take_more(places_, count - 1), served);
    return answer::done;
  }
  /// The same for a waiter that has been served with one place. 0 if the ring was closed since.
  std::size_t push_served(T* first, std::size_t count) noexcept {
    served_waiters served;
    const std::lock_guard lock(mutex_);
    if (is_closed()) {
      places_.give(1, served);
      return 0;
    }
    count = 1 + take_more(places_, count - 1);
    store(first, count, served);
    return count;
  }
  bool leave_push(concurrent_waiter& gone) noexcept { return leave(places_, gone); }
  void give_place_back() noexcept { give_back(places_); }

  /// Passes up to `count` items to `take`, and returns how many by `count`. If there is none,
  /// `waiter`, if there is one, joins the line.
  template <class F>
  answer pop(F&& take, std::size_t& count, concurrent_waiter* waiter) noexcept {
    served_waiters served;
    const std::lock_guard lock(mutex_);
    if (!items_.try_take(1)) {
      if (size() == 0 && is_closed()) return answer::closed;
      if (waiter != nullptr) items_.join(*waiter, 1);
      return answer::wait;
    }
    remove(take, count = 1 + take_more(items_, count - 1), served);
    return answer::done;
  }
  /// The same for a waiter that has been served with one item.
  template <class F>
  std::size_t pop_served(F&& take, std::size_t count) noexcept {
    served_waiters served;
    const std::lock_guard lock(mutex_);
    count = 1 + take_more(items_, count - 1);
    remove(take, count, served);
    return count;
  }
  bool leave_pop(concurrent_waiter& gone) noexcept { return leave(items_, gone); }
  void give_item_back() noexcept { give_back(items_); }

  void close() noexcept {
    served_waiters served;
    const std::lock_guard lock(mutex_);
    closed_.store(true, std::memory_order_relaxed);
    places_.refuse_all(served);
    if (size() == 0) items_.refuse_all(served);
  }

  /// See permit_line::is_abandoned().
  bool is_abandoned() noexcept { return items_.is_abandoned() && places_.is_abandoned(); }

 private:
  using line = permit_line<Threads::template atomic>;
  static std::allocator<T> allocator() noexcept { return {}; }

  static std::size_t take_more(line& of, std::size_t wanted) noexcept {
    const std::size_t count = std::min({wanted, of.available(), at_once_max - 1});
    return of.try_take(count) ? count : 0;
  }
  bool leave(line& of, concurrent_waiter& gone) noexcept {
    served_waiters served;
    const std::lock_guard lock(mutex_);
    return of.leave(gone, served);
  }
  void give_back(line& of) noexcept {
    served_waiters served;
    const std::lock_guard lock(mutex_);
    of.give(1, served);
  }

  void store(T* first, std::size_t count, served_waiters& served) noexcept {
    std::size_t at = first_ + size();
    for (std::size_t i = 0; i < count; ++i, ++at) {
      if (at >= capacity_) at -= capacity_;
      std::construct_at(ring_ + at, std::move(first[i]));
    }
    set_size(size() + count);
    peak_ = std::max(peak_, size());
    items_.give(count, served);
  }
  template <class F>
  void remove(F& take, std::size_t count, served_waiters& served) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      T& next = drop_first();
      take(next);
      std::destroy_at(&next);
    }
    set_size(size() - count);
    places_.give(count, served);
    if (size() == 0 && is_closed()) items_.refuse_all(served);
  }
  T& drop_first() noexcept {
    T& first = ring_[first_];
    if (++first_ == capacity_) first_ = 0;
    return first;
  }
  void set_size(std::size_t size) noexcept { size_.store(size, std::memory_order_relaxed); }

  typename Threads::mutex mutex_;
  line items_;   // size(), less those of waiters that have been served
  line places_;  // the same of the free places
  std::size_t first_ = 0;
  std::size_t peak_ = 0;
  typename Threads::template atomic<std::size_t> size_ = 0;
  typename Threads::template atomic<bool> closed_ = false;
  std::size_t capacity_;
  T* ring_;
};

}  // namespace ringlet::detail
