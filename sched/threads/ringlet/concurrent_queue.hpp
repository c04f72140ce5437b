// concurrent_queue: items handed between fibers of any schedulers, and plain threads.
//
//     concurrent_queue<job> jobs(1000);  // declared where it outlives all threads that use it
//
//     task<> produce() {  // on one scheduler
//       while (auto next = co_await read_job()) co_await jobs.push(*std::move(next));
//       jobs.close();
//     }
//     task<> consume() {  // on other schedulers
//       auto all = jobs.items();
//       while (auto next = co_await all.next()) co_await work(*next);
//     }
//
// Within one scheduler, queue is several times faster.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/as_result.hpp>
#include <ringlet/async_generator.hpp>
#include <ringlet/detail/concurrent_items.hpp>
#include <ringlet/detail/thread_waiter.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/concurrent_queue_waits.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

/// Throws std::invalid_argument if it is 0.
std::size_t check_capacity(std::size_t size_max);

}  // namespace ringlet::detail

namespace ringlet {

/// A bounded queue for many producers and many consumers, on any threads. The items of one producer
/// are popped in the order in which it pushed them. A push waits while the queue is full.
///
/// Calls that wait are served in the order of their arrival, at each end: a call that waits has a
/// place, or an item, before a later call gets one. A pop that has been served takes the first item
/// when its fiber runs, so of two consumers that wait, the second may run first and take the item
/// that was pushed first.
///
/// Errors    errc::closed after close(); timed_out.
/// Cancellation  Nothing is lost or doubled: a cancelled push leaves its item with the caller, a
///           cancelled pop has taken none. Success wins: a wait that another thread has served
///           succeeds, and the interruption is delivered at the fiber's next wait.
/// Lifetime  Must outlive all calls; one destroyed while a fiber or thread waits aborts. When pop()
///           has returned an item, the call that pushed it does not use the queue any more.
/// Thread    Any: fibers of any schedulers await push() and pop(). Plain threads, those outside of
///           run(), call the forms with `_blocking`, which abort on a scheduler's thread. The move
///           constructor and the destructor of T run while a mutex is held: they must be short,
///           and not use the queue. A thread that calls in a loop cannot keep others from the
///           mutex. While a fiber waits, neither its scheduler nor its runtime reports a deadlock:
///           any thread may push or pop.
/// Memory    One allocation, by the constructor, for `size_max` items.
template <class T>
class concurrent_queue {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "items are handed over where nothing may be thrown");

 public:
  using value_type = T;
  using push_wait = extend::concurrent_push_wait<T, void>;
  using push_copy_wait = extend::concurrent_push_copy_wait<T>;
  using push_some_wait = extend::concurrent_push_wait<T, std::size_t>;
  using pop_wait = extend::concurrent_pop_wait<T>;
  using pop_some_wait = extend::concurrent_pop_some_wait<T>;

  /// How many items push_some() and pop_some() move at most.
  static constexpr std::size_t some_max = detail::concurrent_items<T>::at_once_max;

  /// Throws std::invalid_argument if `size_max` is 0; std::bad_alloc.
  explicit concurrent_queue(std::size_t size_max) : items_(detail::check_capacity(size_max)) {}
  ~concurrent_queue() {
    RINGLET_ASSERT(items_.is_abandoned(),
                   "a concurrent_queue was destroyed while a fiber or a thread waited for it: it "
                   "must outlive all that use it");
  }

  /// Waits for room and moves `item` in. `item` is moved from only on success. May be a part of a
  /// select().
  push_wait push(T&& item, time_limit timeout = forever) noexcept {
    return push_wait(items_, &item, 1, timeout);
  }
  /// The same with a copy.
  push_copy_wait push(const T& item,
                      time_limit timeout = forever) requires std::copy_constructible<T> {
    return push_copy_wait(items_, item, timeout);
  }
  /// Waits for room and moves in as many of `items` as there is room for, from the first on; at
  /// least one, at most some_max. Returns how many. May be a part of a select().
  push_some_wait push_some(std::span<T> items, time_limit timeout = forever) noexcept {
    return push_some_wait(items_, items.data(), items.size(), timeout);
  }
  /// Moves `item` in if there is room and no call waits to push. Otherwise, and if the queue is
  /// closed, returns false and leaves `item` unchanged.
  bool try_push(T&& item) noexcept {
    std::size_t count = 1;
    return items_.may_have_room() && items_.push(&item, count, nullptr) == answer::done;
  }
  bool try_push(const T& item) requires std::copy_constructible<T> {
    if (!items_.may_have_room()) return false;
    T copy(item);
    return try_push(std::move(copy));
  }
  /// push() for plain threads: blocks the thread.
  void push_blocking(T&& item, const time_limit& timeout = forever) {
    push_blocked(&item, 1, timeout);
  }
  void push_blocking(const T& item,
                     const time_limit& timeout = forever) requires std::copy_constructible<T> {
    T copy(item);
    push_blocked(&copy, 1, timeout);
  }
  /// push_some() for plain threads.
  std::size_t push_some_blocking(std::span<T> items, const time_limit& timeout = forever) {
    return items.empty() ? 0 : push_blocked(items.data(), items.size(), timeout);
  }

  /// Waits for an item, takes it and returns it. May be a part of a select().
  pop_wait pop(time_limit timeout = forever) noexcept { return pop_wait(items_, timeout); }
  /// Waits for an item and takes as many as there are, in order: at least one, at most some_max.
  /// Assigns them to `into`, from the first element on, and returns how many. May be a part of a
  /// select().
  pop_some_wait pop_some(std::span<T> into, time_limit timeout = forever) noexcept {
    static_assert(std::is_nothrow_move_assignable_v<T>,
                  "items are handed over where nothing may be thrown");
    return pop_some_wait(items_, into.data(), into.size(), timeout);
  }
  /// Takes the first item, if there is one and no call waits to pop.
  std::optional<T> try_pop() noexcept {
    std::optional<T> taken;
    std::size_t count = 1;
    if (items_.may_have_item()) items_.pop(emplace_in(taken), count, nullptr);
    return taken;
  }
  /// pop() for plain threads: blocks the thread.
  T pop_blocking(const time_limit& timeout = forever) {
    std::optional<T> taken;
    pop_blocked(emplace_in(taken), 1, timeout);
    return *std::move(taken);
  }
  /// pop_some() for plain threads.
  std::size_t pop_some_blocking(std::span<T> into, const time_limit& timeout = forever) {
    static_assert(std::is_nothrow_move_assignable_v<T>,
                  "items are handed over where nothing may be thrown");
    if (into.empty()) return 0;
    return pop_blocked([to = into.data()](T& item) mutable noexcept { *to++ = std::move(item); },
                       into.size(), timeout);
  }

  /// Pops each item until the queue is closed and empty:
  ///
  ///     auto all = jobs.items();
  ///     while (auto job = co_await all.next()) co_await work(*job);
  ///
  /// Several fibers may do that, each with its own; each item goes to one of them.
  async_generator<T> items() {
    while (result<T> next = co_await as_result(pop())) co_yield *std::move(next);
  }

  /// Accepts no more items: current and later pushes fail with errc::closed, and so does one that
  /// has been given a place and has not run. Items in the queue can still be popped; a pop fails
  /// with errc::closed only when none is left. Idempotent. Takes time in proportion to the calls
  /// that it ends.
  void close() noexcept { items_.close(); }
  /// Whether close() was called.
  bool is_closed() const noexcept { return items_.is_closed(); }

  /// How many items it has. Like the next numbers, this may have changed already.
  std::size_t size() const noexcept { return items_.size(); }
  /// Whether it has none.
  bool empty() const noexcept { return size() == 0; }
  /// How many it can have.
  std::size_t size_max() const noexcept { return items_.capacity(); }
  /// The largest size() so far.
  std::size_t peak() noexcept { return items_.peak(); }
  /// How many calls wait to push.
  std::size_t waiting_to_push() const noexcept { return items_.waiting_to_push(); }
  /// How many calls wait to pop.
  std::size_t waiting_to_pop() const noexcept { return items_.waiting_to_pop(); }

 private:
  using answer = typename detail::concurrent_items<T>::answer;

  static auto emplace_in(std::optional<T>& taken) noexcept {
    return [&taken](T& item) noexcept { taken.emplace(std::move(item)); };
  }
  std::size_t push_blocked(T* first, std::size_t count, const time_limit& timeout);
  template <class F>
  std::size_t pop_blocked(F take, std::size_t count, const time_limit& timeout);

  detail::concurrent_items<T> items_;
};

template <class T>
std::size_t concurrent_queue<T>::push_blocked(T* first, std::size_t count,
                                              const time_limit& timeout) {
  detail::check_may_block(
      "push_blocking() of a concurrent_queue was called on the thread of a scheduler, all fibers "
      "of which would stop: co_await push() there");
  detail::thread_waiter waiter;
  std::size_t pushed = count;
  const answer first_answer = items_.push(first, pushed, &waiter);
  if (first_answer == answer::done) return pushed;
  if (first_answer == answer::wait) {
    if (!waiter.wait(timeout)) {
      if (items_.leave_push(waiter)) throw timed_out("push");
      waiter.wait();
    }
    if (waiter.was_served()) {
      pushed = items_.push_served(first, count);
      if (pushed != 0) return pushed;
    }
  }
  throw_error(errc::closed, "push");
}

template <class T>
template <class F>
std::size_t concurrent_queue<T>::pop_blocked(F take, std::size_t count, const time_limit& timeout) {
  detail::check_may_block(
      "pop_blocking() of a concurrent_queue was called on the thread of a scheduler, all fibers "
      "of which would stop: co_await pop() there");
  detail::thread_waiter waiter;
  std::size_t popped = count;
  const answer first_answer = items_.pop(take, popped, &waiter);
  if (first_answer == answer::done) return popped;
  if (first_answer == answer::wait) {
    if (!waiter.wait(timeout)) {
      if (items_.leave_pop(waiter)) throw timed_out("pop");
      waiter.wait();
    }
    if (waiter.was_served()) return items_.pop_served(take, count);
  }
  throw_error(errc::closed, "pop");
}

}  // namespace ringlet
