// queue: items handed from fibers to fibers, first in, first out, like gevent's Queue.
#pragma once

#include <ringlet/detail/item_chunks.hpp>
#include <ringlet/detail/queue_base.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>

#include <coroutine>
#include <cstddef>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace ringlet {

/// Items that weigh nothing.
struct weightless {
  template <class T>
  constexpr std::size_t operator()(const T&) const noexcept {
    return 0;
  }
};

/// A queue that is unbounded, or bounded by a number of items or by a weight, such as bytes. Items
/// are handed over strictly in order, and fibers are served strictly in arrival order: the fiber
/// that has waited longest gets the next item, or the next free place, and no later fiber overtakes
/// it. With room for 0 items, every push waits until a pop takes its item.
///
/// Weigh     Called with an item, returns its weight; the same each time while the item is in the
///           queue. An item heavier than the limit is accepted when the queue is empty.
/// Memory    None while empty; otherwise blocks of 512 bytes.
/// Errors    errc::closed after close(); timed_out; std::bad_alloc from push(), which then leaves
///           its item unchanged.
/// Cancellation  Nothing is lost or doubled: a cancelled push leaves its item with the caller, a
///           cancelled pop has taken none. Success wins: an item already handed to a fiber is
///           returned there, and the interruption is delivered at the fiber's next wait.
/// Lifetime  Must outlive all waiting calls; otherwise the destructor aborts. While an exception
///           unwinds the owner, it ends them with errc::closed instead, and reports that.
/// Thread    That of the scheduler whose fibers wait on the queue, or else of the one that uses it
///           first, as long as that scheduler runs. On other threads push, try_push, try_pop, peek
///           and close abort; a pop aborts if it has to wait or admits a waiting push. Other
///           threads push through scheduler_handle::post().
template <class T, class Weigh = weightless>
class queue : public detail::queue_base {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "items are handed over where no exception may be thrown");

 public:
  using value_type = T;
  class push_wait;
  class push_copy_wait;
  class pop_wait;

  explicit queue(std::size_t size_max = unlimited, std::size_t weight_max = unlimited,
                 Weigh weigh = Weigh())
      : detail::queue_base(size_max, weight_max), weigh_(std::move(weigh)) {}

  /// Waits for room and moves `item` in. `item` is moved from only on success.
  push_wait push(T&& item, time_limit timeout = forever) noexcept { return {*this, item, timeout}; }
  /// The same with a copy.
  push_copy_wait push(const T& item,
                      time_limit timeout = forever) requires std::copy_constructible<T> {
    return {*this, item, timeout};
  }
  /// Moves `item` in if there is room and no fiber is waiting to push; otherwise, and if the queue
  /// is closed, returns false and leaves `item` unchanged. Needs no fiber.
  bool try_push(T&& item) { return !closed_ && put(item); }
  bool try_push(const T& item) requires std::copy_constructible<T> {
    T copy(item);
    return try_push(std::move(copy));
  }

  /// Waits for an item and takes it.
  pop_wait pop(const time_limit& timeout = forever) noexcept { return {*this, timeout}; }
  /// Takes the first item, if there is one. Needs no fiber.
  std::optional<T> try_pop() noexcept {
    check_thread();
    std::optional<T> taken;
    take(taken);
    return taken;
  }
  /// The item that would be popped next, or null.
  const T* peek() noexcept {
    check_thread();
    if (!items_.empty()) return &items_.front();
    return pushers_.empty() ? nullptr : static_cast<push_wait&>(pushers_.front()).item_;
  }

  /// Accepts no more items: current and later pushes fail with errc::closed. Items in the queue can
  /// still be popped; after that pop() fails with errc::closed. Idempotent.
  void close() noexcept { detail::queue_base::close(); }
  /// Like close(), and drops the items in the queue.
  void close_now() noexcept {
    detail::queue_base::close();
    while (try_pop()) continue;
  }

 private:
  struct copy_holder {
    T copy;
  };

  std::size_t weight_of(const T& item) const noexcept { return weigh_(item); }

  // Hands the item to a waiting fiber (which checks the thread), or else stores it. False if there
  // is no room.
  bool put(T& item) {
    if (!poppers_.empty()) {
      auto& next = static_cast<pop_wait&>(poppers_.front());
      next.item_.emplace(std::move(item));
      next.complete();
      return true;
    }
    check_thread();
    if (!pushers_.empty() || !has_room(weight_of(item))) return false;
    store(item);
    return true;
  }

  void store(T& item) {
    const std::size_t weight = weight_of(item);
    items_.push_back(std::move(item));
    ++size_;
    weight_ += weight;
  }

  // Takes the first item, or, if the queue is empty, the item of the first waiting push.
  void take(std::optional<T>& taken) noexcept {
    if (!items_.empty()) {
      T& first = items_.front();
      --size_;
      weight_ -= weight_of(first);
      taken.emplace(std::move(first));
      items_.drop_front();
      admit();
    } else if (!pushers_.empty()) {
      auto& next = static_cast<push_wait&>(pushers_.front());
      taken.emplace(std::move(*next.item_));
      next.complete();
      admit();
    }
  }

  // Admits waiting pushes as far as there is room. Without memory they keep waiting until the next
  // pop.
  void admit() noexcept {
    while (!closed_ && !pushers_.empty()) {
      auto& next = static_cast<push_wait&>(pushers_.front());
      if (!has_room(weight_of(*next.item_))) return;
      try {
        store(*next.item_);
      } catch (const std::bad_alloc&) {
        return;
      }
      next.complete();
    }
  }

  detail::item_chunks<T> items_;
  [[no_unique_address]] Weigh weigh_;
};

/// See queue::push().
template <class T, class Weigh>
class [[nodiscard]] queue<T, Weigh>::push_wait : public side_wait {
 public:
  push_wait(queue& to, T& item, time_limit timeout) noexcept
      : side_wait(to, timeout), item_(&item) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return this->begin_alone(*this, caller.promise());
  }
  result<void> take() { return this->cancellation_error(); }
  void await_resume() { detail::value_or_throw(take(), "push"); }

  bool try_now() { return this->is_refused(to().closed_) || to().put(*item_); }
  void watch() noexcept { to().pushers_.push_back(*this); }
  void pass_on() noexcept { to().admit(); }  // it may have blocked lighter items
  void on_cancel(extend::cancel_reason reason) noexcept {
    extend::list_wait::on_cancel(reason);
    pass_on();
  }
  static const extend::wait_type type;

 private:
  friend class queue;
  queue& to() const noexcept { return static_cast<queue&>(*this->on_); }

  T* item_;
};

template <class T, class Weigh>
const extend::wait_type queue<T, Weigh>::push_wait::type =
    extend::wait_base::make_type<push_wait>("push");

/// See queue::push().
template <class T, class Weigh>
class [[nodiscard]] queue<T, Weigh>::push_copy_wait : private copy_holder, public push_wait {
 public:
  push_copy_wait(queue& to, const T& item, time_limit timeout)
      : copy_holder{T(item)}, push_wait(to, copy_holder::copy, timeout) {}
};

/// See queue::pop().
template <class T, class Weigh>
class [[nodiscard]] queue<T, Weigh>::pop_wait : public side_wait {
 public:
  pop_wait(queue& from, time_limit timeout) noexcept : side_wait(from, timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->begin_alone(*this, caller.promise());
  }
  result<T> take() {
    this->rethrow_interruption();
    if (item_) return *std::move(item_);
    return this->cancellation_error();
  }
  T await_resume() {
    this->rethrow_interruption();
    if (!item_) throw_error(this->cancellation_error(), "pop");
    return *std::move(item_);
  }

  bool try_now() noexcept {
    from().take(item_);
    return item_.has_value() || this->is_refused(from().closed_);
  }
  void watch() noexcept { from().poppers_.push_back(*this); }
  static const extend::wait_type type;

 private:
  friend class queue;
  queue& from() const noexcept { return static_cast<queue&>(*this->on_); }

  std::optional<T> item_;
};

template <class T, class Weigh>
const extend::wait_type queue<T, Weigh>::pop_wait::type =
    extend::wait_base::make_type<pop_wait>("pop");

}  // namespace ringlet
