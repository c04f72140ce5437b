// Timers in user space: a heap of deadlines. The engine only gets the nearest one.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/time_limit.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace ringlet::extend {

class scheduler;
class timer_queue;

/// Calls a handler at a point in time. Its place in the queue is reserved on construction, so
/// arming and disarming never allocate. The handler is given to arm(), because every fiber is a
/// timer and most are never armed. Thread: the queue's.
class timer_entry {
 public:
  using handler = void (*)(timer_entry&) noexcept;

  /// Throws std::bad_alloc if the place cannot be reserved.
  inline explicit timer_entry(timer_queue& queue);
  timer_entry(const timer_entry&) = delete;
  timer_entry& operator=(const timer_entry&) = delete;

  bool armed() const noexcept { return index_ != unarmed; }

 protected:
  /// For code that has reserved a place itself.
  timer_entry() noexcept = default;
  ~timer_entry() { RINGLET_ASSERT(!armed(), "a timer was destroyed while it was armed"); }

 private:
  friend class timer_queue;
  static constexpr std::uint32_t unarmed = ~std::uint32_t{0};

  std::uint32_t index_ = unarmed;
};

/// A 4-ary heap: when new deadlines are mostly later than earlier ones, adding costs one
/// comparison. Equal deadlines expire in the order in which they were armed.
class timer_queue {
 public:
  timer_queue() = default;
  timer_queue(const timer_queue&) = delete;
  timer_queue& operator=(const timer_queue&) = delete;

  /// Calls `on_expiry(added)` when the timer is due. All timers of a kind have the same handler.
  void arm(timer_entry& added, steady_ns deadline, timer_entry::handler on_expiry) noexcept;
  void disarm(timer_entry& removed) noexcept {
    if (removed.armed()) remove(removed);
  }

  bool empty() const noexcept { return heap_.empty(); }
  /// The nearest deadline, or never.
  steady_ns next() const noexcept { return heap_.empty() ? never : heap_.front().deadline; }
  /// When `asked` is due; never if it is not armed.
  steady_ns deadline_of(const timer_entry& asked) const noexcept {
    return asked.armed() ? heap_[asked.index_].deadline : never;
  }
  /// Calls `f(timer, its handler, its deadline)` for each armed timer, in no particular order.
  template <class F>
  void for_each_armed(F f) const {
    for (const entry& each : heap_) {
      f(static_cast<const timer_entry&>(*each.owner), each.on_expiry, each.deadline);
    }
  }
  /// Calls the handlers of timers that are due at `now`, at most `most`; the rest stay armed.
  void expire(steady_ns now, std::size_t most = std::numeric_limits<std::size_t>::max()) noexcept;

  /// Reserves room for one more timer; give_place() releases it.
  void reserve_place() {
    if (--free_places_ < 0) [[unlikely]]
      add_places();
  }
  void give_place() noexcept { ++free_places_; }

 private:
  struct entry {
    steady_ns deadline;
    std::uint64_t order;
    timer_entry* owner;
    timer_entry::handler on_expiry;
    bool before(const entry& other) const noexcept {
      return deadline != other.deadline ? deadline < other.deadline : order < other.order;
    }
  };
  static constexpr std::size_t arity = 4;

  void put(std::size_t index, const entry& moved) noexcept {
    heap_[index] = moved;
    moved.owner->index_ = static_cast<std::uint32_t>(index);
  }
  void sift_up(std::size_t index, const entry& moved) noexcept;
  void sift_down(std::size_t index, const entry& moved) noexcept;
  void remove(timer_entry& removed) noexcept;
  void add_places();

  std::vector<entry> heap_;
  std::ptrdiff_t free_places_ = 0;  // of its capacity
  std::uint64_t armed_so_far_ = 0;
};

inline timer_entry::timer_entry(timer_queue& queue) { queue.reserve_place(); }

}  // namespace ringlet::extend
