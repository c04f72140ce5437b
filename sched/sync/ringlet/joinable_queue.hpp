// joinable_queue: a queue that knows when all its items are done, as gevent's JoinableQueue.
//
//     joinable_queue<int> numbers;
//
//     task<> halve() {
//       for (;;) {
//         const auto next = co_await numbers.pop();
//         if (*next > 1) co_await numbers.push(*next / 2);
//       }  // here the item is done, also if something was thrown
//     }
//     task<> halve_all() {
//       const fiber<> worker = spawn(halve());
//       co_await numbers.push(1000);
//       co_await numbers.join();  // all items are done, and there are no new ones
//       co_await worker.kill();
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/as_result.hpp>
#include <ringlet/async_generator.hpp>
#include <ringlet/basic_queue.hpp>
#include <ringlet/detail/item_chunks.hpp>
#include <ringlet/detail/task_count.hpp>
#include <ringlet/extend/task_guard.hpp>
#include <ringlet/result.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <optional>
#include <utility>

namespace ringlet::detail {

template <class T>
class counted_items : public item_chunks<T>, public task_count {};

}  // namespace ringlet::detail

namespace ringlet {

/// A queue, first in, first out, whose pop() returns an item in a guard. When the guard is
/// destroyed, or its done() is called, the item is done. An item that was pushed is not done until
/// then, whether it is in the queue, on its way to a fiber, or being worked on. Items of pushes
/// that still wait do not count.
///
/// Errors    Those of basic_queue; a limit of join() that passes is not an error. Calling done()
///           twice for one item aborts.
/// Cancellation  As for basic_queue. An item that was handed to a fiber that is then killed is
///           returned there, and done when the fiber unwinds.
/// Lifetime  Must outlive all waiting calls and all items; otherwise the destructor aborts.
/// Thread    That of the scheduler whose fibers use it. On other threads its calls, and done(),
///           abort.
/// Memory    Blocks of 512 bytes; none while empty.
template <class T, class Weigh = weightless>
class joinable_queue : private basic_queue<T, detail::counted_items<T>, Weigh> {
  using base = basic_queue<T, detail::counted_items<T>, Weigh>;

 public:
  using value_type = T;
  /// What pop() returns: an item, which is done when the guard is destroyed. `*guard` is the item.
  using task_guard = extend::task_guard<T>;
  using base::unlimited;

  /// Has room for `items_max` items, and for items that weigh `weights_max` together. Both may be
  /// 0.
  explicit joinable_queue(std::size_t items_max = unlimited, std::size_t weights_max = unlimited,
                          Weigh weigh = Weigh())
      : base("joinable_queue", items_max, weights_max, std::move(weigh)) {}
  ~joinable_queue() { this->items_.check_all_returned(this->size()); }

  using base::close;
  using base::empty;
  using base::is_closed;
  using base::peak;
  using base::peek;
  using base::push;
  using base::size;
  using base::size_max;
  using base::try_push;
  using base::wait_peek;
  using base::waiting_to_pop;
  using base::waiting_to_push;
  using base::weight;
  using base::weight_max;

  /// See pop().
  class [[nodiscard]] pop_wait;
  /// Waits for an item and takes it. May be a part of a select().
  pop_wait pop(time_limit timeout = forever) noexcept { return {*this, timeout}; }
  /// Takes the first item, if there is one. Needs no fiber.
  std::optional<task_guard> try_pop() noexcept {
    std::optional<T> taken = base::try_pop();
    std::optional<task_guard> item;
    if (taken) item.emplace(this->items_, *std::move(taken));
    return item;
  }
  /// Pops each item until the queue is closed and empty; see basic_queue::items().
  async_generator<task_guard> items() {
    while (result<task_guard> next = co_await as_result(pop())) co_yield *std::move(next);
  }
  /// Like close(), and drops the items in the queue, which are then done.
  void close_now() noexcept {
    close();
    while (try_pop()) continue;
  }

  /// How many items are not done.
  std::size_t unfinished() const noexcept { return this->items_.unfinished(); }
  /// Waits until all items are done: true; false when the limit passed first. True at once if there
  /// are none. Items that come after that moment do not matter. May be a part of a select().
  detail::task_count::join_wait join(time_limit timeout = forever) noexcept {
    return {this->items_, timeout};
  }
};

template <class T, class Weigh>
class joinable_queue<T, Weigh>::pop_wait : public base::pop_wait {
 public:
  pop_wait(joinable_queue& from, time_limit timeout) noexcept
      : base::pop_wait(from, timeout), tasks_(&from.items_) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return this->begin_alone(*this, caller.promise());
  }
  result<task_guard> take() {
    result<T> taken = base::pop_wait::take();
    if (!taken) return taken.error();
    return task_guard(*tasks_, *std::move(taken));
  }
  task_guard await_resume() { return task_guard(*tasks_, base::pop_wait::await_resume()); }
  static const extend::wait_type type;

 private:
  detail::task_count* tasks_;
};

template <class T, class Weigh>
const extend::wait_type joinable_queue<T, Weigh>::pop_wait::type =
    extend::wait_base::make_type<pop_wait>("pop");

}  // namespace ringlet
