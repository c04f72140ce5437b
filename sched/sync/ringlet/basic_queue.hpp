// basic_queue: the calls of queue, lifo_queue and priority_queue, which differ in the order in
// which items leave.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/as_result.hpp>
#include <ringlet/async_generator.hpp>
#include <ringlet/detail/queue_base.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/queue_waits.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/selection.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <new>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace ringlet {

/// Items that weigh nothing: a queue of them has no limit of weight.
struct weightless {
  /// 0 for all items.
  template <class T>
  constexpr std::size_t operator()(const T&) const noexcept {
    return 0;
  }
};

/// Items handed from fibers to fibers. Programs name queue, lifo_queue or priority_queue.
///
/// A queue is unbounded, or bounded by a number of items or by a weight, such as bytes. Fibers are
/// served strictly in arrival order: the fiber that has waited longest gets the next item, or the
/// next free place, and no later fiber overtakes it. With room for 0 items, every push waits until
/// a pop takes its item.
///
/// Store     Holds the items, and decides in which order they leave.
/// Weigh     Called with an item, returns its weight; the same each time while the item is in the
///           queue. An item heavier than the limit is accepted when the queue is empty. A weigher
///           that throws, or pushes to or pops from the queue, aborts.
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
/// Memory    None while empty; otherwise as the store says. Waiting, waking, cancelling and closing
///           do not allocate.
template <class T, class Store, class Weigh = weightless>
class basic_queue : public detail::queue_base {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "items are handed over where nothing may be thrown");
  static_assert(!std::is_same_v<std::remove_cv_t<T>, std::error_code>,
                "a queue of std::error_code could not tell a value from a failure: wrap the code "
                "in a struct of your own, or use its value()");

 public:
  using value_type = T;
  /// What push(T&&) returns, to be awaited.
  using push_wait = extend::push_wait<basic_queue>;
  /// What push(const T&) returns, to be awaited.
  using push_copy_wait = extend::push_copy_wait<basic_queue>;
  /// What pop() returns, to be awaited.
  using pop_wait = extend::pop_wait<basic_queue>;

  /// Waits for room and moves `item` in. `item` is moved from only on success. May be a part of a
  /// select().
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

  /// Waits for an item, takes it and returns it. May be a part of a select().
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
    return pushers_.empty() ? nullptr : first_pusher().item_;
  }
  /// Waits for an item and returns where it is, without taking it; never null. Valid until the next
  /// wait of the calling fiber, or its next call that pops or closes. Takes no turn from fibers
  /// that wait to pop: if they take the item first, it waits for the next one. A task, so not for
  /// select(); use when_any().
  task<const T*> wait_peek(time_limit timeout = forever) {
    const time_limit deadline = time_limit::at(timeout.resolve(extend::current_scheduler().now()));
    const T* first = nullptr;
    do {
      co_await extend::item_wait<basic_queue>(*this, deadline);
      first = peek();
    } while (first == nullptr);
    co_return first;
  }

  /// Pops each item until the queue is closed and empty:
  ///
  ///     task<> print_all(queue<std::string>& lines) {
  ///       auto all = lines.items();
  ///       while (auto line = co_await all.next()) co_await standard_output().write_all(*line);
  ///     }
  ///
  /// Several fibers may do that, each with its own; each item goes to one of them.
  async_generator<T> items() {
    while (result<T> next = co_await as_result(pop())) co_yield *std::move(next);
  }

  /// Accepts no more items: current and later pushes fail with errc::closed. Items in the queue can
  /// still be popped; after that pop() fails with errc::closed. Idempotent. Takes the same time for
  /// any number of waiting fibers: 256 are woken at once, and then 256 each turn of the scheduler.
  void close() noexcept { detail::queue_base::close(); }
  /// Like close(), and drops the items in the queue.
  void close_now() noexcept {
    detail::queue_base::close();
    while (try_pop()) continue;
  }

 protected:
  template <class... Arguments>
  basic_queue(const char* name, std::size_t size_max, std::size_t weight_max, Weigh weigh,
              Arguments&&... store)
      : detail::queue_base(name, size_max, weight_max),
        items_(std::forward<Arguments>(store)...),
        weigh_(std::move(weigh)) {}
  ~basic_queue() = default;

 protected:
  template <class>
  friend class extend::push_wait;
  template <class>
  friend class extend::push_copy_wait;
  template <class>
  friend class extend::pop_wait;
  template <class>
  friend class extend::item_wait;

  static constexpr bool compares = Store::compares;
  // Whether the store counts what comes in, for a joinable_queue.
  static constexpr bool counts = requires(Store & items) { items.entered(); };
  // Whether places can be reserved, in a channel. Reserved places do not count in size_max_, and a
  // push that waits for one has no item.
  static constexpr bool has_places = requires { Store::has_places; };
  struct copy_holder {
    T copy;
  };

  push_wait& first_pusher() noexcept { return static_cast<push_wait&>(pushers_.waits.front()); }
  static constexpr bool weighs = !std::is_same_v<Weigh, weightless>;
  std::size_t weight_of(const T& item) noexcept {
    if constexpr (!weighs) return 0;
    const weighing no_call_of_the_queue(*this);
    try {
      return weigh_(item);
    } catch (...) {
      detail::broken_rule(
          "the weigher of a queue threw an exception: it must return the weight of each item",
          __FILE__, __LINE__);
    }
  }
  // has_room(); in short where nothing has a weight.
  bool has_room_for(std::size_t weight) const noexcept {
    if constexpr (!weighs) return size_ < size_max_;
    return has_room(weight);
  }
  // With places to reserve, a push needs one, even if a fiber waits for its item. So a fiber that
  // waits for a place is not overtaken.
  bool needs_place() const noexcept {
    if constexpr (has_places) return size_max_ + reserved_ != 0;
    return false;
  }

  // Hands the item to a waiting fiber (which checks the thread), or else stores it. False if there
  // is no room.
  bool put(T& item) {
    if (!poppers_.empty() && !needs_place()) {
      hand_over(item);
      return true;
    }
    check_thread();
    if (!pushers_.empty()) return false;
    const std::size_t weight = weight_of(item);
    if (!has_room_for(weight)) return false;
    add(item, weight);
    return true;
  }
  // Hands it to the fiber that has waited longest to pop.
  void hand_over(T& item) noexcept {
    hand_over(static_cast<pop_wait&>(poppers_.waits.front()), item);
  }
  void hand_over(pop_wait& taker, T& item) noexcept {
    if constexpr (counts) items_.entered();
    --poppers_.count;
    taker.give(item);
  }
  // The fiber that has waited longest to pop, unless it waits in the same select(): no item goes to
  // the fiber that sends it.
  pop_wait* popper_for(const push_wait& from) noexcept {
    for (extend::list_wait* each = nullptr; (each = poppers_.waits.next(each)) != nullptr;) {
      auto& popper = static_cast<pop_wait&>(*each);
      if (popper.fiber_ != from.fiber_) return &popper;
    }
    return nullptr;
  }
  // For an item that has a place.
  void add(T& item, std::size_t weight) {
    if constexpr (has_places) {
      if (!poppers_.empty()) return hand_over(item);
    }
    store(item, weight);
  }
  void store(T& item, std::size_t weight) {
    items_.push(std::move(item));
    count_in(weight);
    if constexpr (counts) items_.entered();
  }

  // Takes the first item, or, if the queue is empty, the item of the first waiting push. False if
  // there is none.
  bool take(std::optional<T>& taken) noexcept {
    if constexpr (weighs) check_not_weighing();
    if (!items_.empty()) {
      T& first = items_.front();
      count_out(weight_of(first));
      taken.emplace(std::move(first));
      items_.drop_front();
      admit();
      return true;
    }
    if (pushers_.empty()) return false;
    push_wait& next = first_pusher();
    if (needs_place() && (next.item_ == nullptr || !has_room_for(weight_of(*next.item_)))) {
      return false;
    }
    if constexpr (counts) items_.entered();
    taken.emplace(std::move(*next.item_));
    end(next);
    admit();
    return true;
  }
  // Ends the first waiting push.
  void end(push_wait& first) noexcept {
    --pushers_.count;
    first.stored();
  }

  // Admits waiting pushes as far as there is room. Without memory they keep waiting until the next
  // pop. A push whose item cannot be compared ends with what the comparator threw.
  void admit() noexcept {
    if constexpr (weighs) {
      if (weighs_) return;
    }
    while (!closed_ && !pushers_.empty()) {
      push_wait& next = first_pusher();
      if constexpr (has_places) {
        if (next.item_ == nullptr) {
          if (!take_place()) return;
          end(next);
          continue;
        }
      }
      const std::size_t weight = weight_of(*next.item_);
      if constexpr (weighs) {
        // The weigher may have killed the fiber, or another one.
        if (pushers_.empty() || &first_pusher() != &next) continue;
      }
      if (!has_room_for(weight)) return;
      if constexpr (has_places) {
        if (pop_wait* const taker = popper_for(next)) {
          const extend::admission_hold both_end_first;
          hand_over(*taker, *next.item_);
          end(next);
          continue;
        }
      }
      try {
        store(*next.item_, weight);
      } catch (const std::bad_alloc&) {
        return;
      } catch (...) {
        if constexpr (compares) next.error_ = std::current_exception();
      }
      end(next);
    }
  }

  bool take_place() noexcept requires has_places {
    if (size_ >= size_max_) return false;
    --size_max_;
    ++reserved_;
    return true;
  }
  void give_place_back() noexcept requires has_places {
    ++size_max_;
    --reserved_;
    admit();
  }

  Store items_;
  [[no_unique_address]] Weigh weigh_;
};

}  // namespace ringlet
