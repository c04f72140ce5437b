// pool: a group of limited size, like gevent's Pool, and maps over it.
//
//     task<> serve_all(listener& port) {
//       pool workers(100);
//       for (;;) {
//         pool::slot free = co_await workers.reserve();
//         free.spawn(serve, co_await port.accept());
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/async_generator.hpp>
#include <ringlet/detail/calls_ahead.hpp>
#include <ringlet/detail/pool_calls.hpp>
#include <ringlet/detail/spawns_calls.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/fiber_set.hpp>
#include <ringlet/result.hpp>
#include <ringlet/spawnable.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/time_limit.hpp>
#include <ringlet/value_or_unit.hpp>
#include <ringlet/when_all.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>
#include <ranges>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

/// At most `size` fibers at once. Each fiber holds a slot and releases it as soon as it ends.
/// Waiters get slots in arrival order; a later fiber never overtakes them.
///
/// Errors    errc::closed from waits for a slot after close(), also for current waiters. Errors of
///           the fibers are theirs, except where a call says that it throws them. std::bad_alloc:
///           then no fiber begins, and the slot is released, or stays with its pool::slot.
/// Cancellation  A fiber that is killed while it waits for a slot takes none, and nothing is
///           spawned. Success wins: a fiber that has been given a slot gets it.
/// Lifetime  The fibers keep running when the pool is destroyed. No fiber may wait for a slot, or
///           hold a reserved one, at that time: call close() and join() first. (While an exception
///           unwinds the owner of the pool this is only reported, and the waiting fibers get
///           errc::closed.)
/// Thread    That of the scheduler whose fibers it holds.
/// Memory    One block for each fiber. Waiting for a slot does not allocate.
class pool : private fiber_set, public detail::pool_calls<pool> {
  template <class F, class... Args>
  using value_of_call =
      typename std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>::value_type;
  template <class F, class Items>
  using value_of = typename std::invoke_result_t<std::decay_t<F>&,
                                                 std::ranges::range_value_t<Items>>::value_type;
  class slot_wait;

 public:
  class [[nodiscard]] slot;
  class reserve_wait;
  class available_wait;
  class slot_limit;

  /// A pool of size 0 never has a slot.
  explicit pool(std::size_t size, std::source_location where = std::source_location::current())
      : size_(size), where_(where) {}
  ~pool() override;

  /// Waits for a slot and takes it. Returns it as a pool::slot, whose spawn() uses it. The only way
  /// to wait for a slot in a select().
  /// Errors    errc::closed; timed_out.
  reserve_wait reserve(time_limit timeout = forever) noexcept;
  /// A slot if one is free now; otherwise an empty slot.
  slot try_reserve() noexcept;

  /// Waits for a slot, then spawns the task, or a call of `f(args...)` like the free spawn(). With
  /// g++ 12, first name a callable that has a destructor, here and below; see with_timeout().
  template <class T>
  task<fiber<T>> spawn(task<T> root, std::source_location where = std::source_location::current()) {
    return spawn_in_slot(std::move(root), forever, where);
  }
  using detail::pool_calls<pool>::spawn;
  /// For the overloads of spawn(): unlike that of other groups, it returns a task.
  static constexpr bool spawn_is_awaited = true;
  /// The same with a limit, `co_await workers.spawn_within(5s, f, args...)`: throws timed_out, and
  /// spawns nothing, if no slot is free in time.
  template <class F, class... Args>
  requires spawnable<F, Args...>
  auto spawn_within(const slot_limit& limit, F&& f, Args&&... args)
      -> task<fiber<value_of_call<F, Args...>>>;
  template <class F, class... Args>
  requires detail::spawns_wrongly<F, Args...>
  auto spawn_within(const slot_limit&, F&&, Args&&...) {
    detail::explain_wrong_spawn<F, Args...>();
    return fiber<>().get();  // can be awaited
  }
  /// Spawns if a slot is free now; otherwise does nothing.
  template <class T>
  std::optional<fiber<T>> try_spawn(task<T> root,
                                    std::source_location where = std::source_location::current());
  using detail::pool_calls<pool>::try_spawn;

  /// Waits for a slot for a running fiber, which then holds the slot until it ends. False if the
  /// limit passed first. A fiber that is already in the pool, or ends before it gets a slot, needs
  /// none: the call returns true.
  template <class T>
  task<bool> add(fiber<T> added, time_limit timeout = forever) {
    co_return co_await add_in_slot(added.state(), timeout);
  }

  /// Spawns the task and waits for its value, like get(). A fiber of this pool makes the call
  /// itself, because it could otherwise wait for its own slot.
  /// Errors    That of the call, too.
  /// Cancellation  Once the call has begun, it keeps running, and its value is lost.
  template <class T>
  task<T> apply(task<T> call, std::source_location where = std::source_location::current()) {
    if (fiber_set::contains(extend::current())) co_return co_await std::move(call);
    fiber<T> made = co_await spawn_in_slot(std::move(call), forever, where);
    co_return co_await std::move(made).get();
  }
  using detail::pool_calls<pool>::apply;

  /// Calls `f(item)` for each item, at most capacity() at once, and returns the values in the order
  /// of the items. `items` and `f` are copied, and each call gets a copy of its item. Items that
  /// cannot be copied are moved out of a container passed as an rvalue. A single-pass range, such
  /// as a generator, is read as slots become free.
  /// Errors    If calls fail, the remaining calls are still made; then the exception of the first
  ///           item that failed is thrown. errc::fiber_cancelled if a call was killed.
  /// Cancellation  The results are lost. An interruption of the caller, or an exception of the
  ///           range, ends the calls first.
  template <std::ranges::input_range Items, class F>
  auto map(Items items, F&& f, std::source_location where = std::source_location::current())
      -> task<std::vector<value_or_unit<value_of<F, Items>>>> {
    detail::check_temporary<F>();
    return map_calls<Items, std::decay_t<F>>(std::move(items), std::forward<F>(f), where);
  }

  /// Like map(), but yields the results one by one, in the order of the items. It yields fibers
  /// that have ended, so a failed call does not end the iteration. Items are taken as slots become
  /// free, and at most capacity() calls are ahead of the reader.
  /// Cancellation  If the iteration is dropped early, or ended by a kill of the reader or by an
  ///           exception of the range, the running calls are killed.
  template <std::ranges::input_range Items, class F>
  async_generator<fiber<value_of<F, Items>>> imap(
      Items items, F f, std::source_location where = std::source_location::current()) {
    return each(std::move(items), std::move(f), true, where);
  }
  /// Like imap(), but in the order in which the calls end.
  template <std::ranges::input_range Items, class F>
  async_generator<fiber<value_of<F, Items>>> imap_unordered(
      Items items, F f, std::source_location where = std::source_location::current()) {
    return each(std::move(items), std::move(f), false, where);
  }

  /// Waits in line until a slot is free, and does not take it. The slot stays available to the
  /// caller until its next wait, even if other fibers are in line: try_spawn() and similar calls
  /// succeed. If the caller does not take the slot, the next in line gets it by the end of the
  /// turn. False if the limit passed first.
  available_wait wait_available(time_limit timeout = forever) noexcept;
  /// How many slots there are: the size that it was made with.
  std::size_t capacity() const noexcept { return size_; }
  /// How many slots the caller could take now. Slots of fibers and reserved slots are not free.
  std::size_t free() const noexcept { return size_ - taken() + (is_offered_to_caller() ? 1 : 0); }

  /// Gives out no more slots: current and later waiters get errc::closed. Fibers keep running, and
  /// a reserved slot may still be used.
  void close() noexcept;
  /// Whether close() was called.
  bool is_closed() const noexcept { return closed_; }

  /// Waits until no slot is taken: like fiber_set::join(), but also waits for reserved slots, and
  /// for slots given to fibers that have not resumed yet. So after close() and join(), no fiber of
  /// the pool runs or begins. Returns true, or false if the limit passed first. A caller that holds
  /// a slot would wait for itself.
  empty_wait join(time_limit timeout = forever) noexcept { return fiber_set::join(timeout); }
  /// Asks all fibers to end, including those that begin in a slot during the wait, and waits like
  /// join().
  using fiber_set::kill;

  using fiber_set::contains;
  using fiber_set::empty;
  using fiber_set::size;

 private:
  struct slot_tag;
  struct end_of_offer : extend::done_watcher {
    explicit end_of_offer(pool& of) noexcept;
    pool* made_by;
  };

  std::size_t taken() const noexcept { return fiber_set::size() + expected(); }
  slot take_now() noexcept;
  void offer(slot& left, const extend::fiber_base& to) noexcept;
  void withdraw_offer() noexcept;
  bool is_offered_to_caller() const noexcept;
  void on_left() noexcept override;
  void describe(std::string& out) const;

  /// Calls `spawn` to make a fiber, which takes over the slot. If that fails, the slot is
  /// unchanged.
  template <std::invocable Spawn>
  auto occupy(slot& taken, Spawn spawn);
  void hand_to(slot& taken, member_owner added, extend::fiber_base& made) noexcept;

  template <class T>
  task<fiber<T>> spawn_in_slot(task<T> root, time_limit timeout, std::source_location where);
  task<bool> add_in_slot(extend::fiber_base& added, time_limit timeout);

  template <class Items, class F>
  auto map_calls(Items items, F f, std::source_location where)
      -> task<std::vector<value_or_unit<value_of<F, Items>>>>;
  template <class Items, class F>
  static task<std::vector<fiber<value_of<F, Items>>>> spawn_each(task_group& calls, pool& slots,
                                                                 Items& items, F& f,
                                                                 const std::source_location& where);
  template <class Items, class F>
  async_generator<fiber<value_of<F, Items>>> each(Items items, F f, bool in_order,
                                                  std::source_location where);
  template <class Items>
  static std::ranges::range_value_t<Items> item_at(const std::ranges::iterator_t<Items>& at);

  std::size_t size_;
  std::source_location where_;
  extend::wait_list waiting_;
  extend::intrusive_list<slot, slot_tag> slots_;  // the reserved ones
  bool closed_ = false;
  // The promise of wait_available(): a slot is kept for the fiber with this id until the turn ends
  // or another fiber asks. 0 if there is no offer.
  std::uint64_t offered_to_ = 0;
  end_of_offer end_of_offer_{*this};
};

/// A reserved slot of a pool, for one fiber. Dropping it releases the slot. Movable; empty after it
/// was moved from, released, or used to spawn a fiber.
class pool::slot : public extend::list_hook<slot_tag>, public detail::spawns_calls<slot> {
 public:
  slot() noexcept = default;
  slot(slot&& other) noexcept { take_over(other); }
  slot& operator=(slot&& other) noexcept {
    if (this == &other) return *this;
    release();
    take_over(other);
    return *this;
  }
  ~slot() { release(); }

  /// Whether it is a slot that can be used.
  explicit operator bool() const noexcept { return of_ != nullptr; }

  /// Like the free spawn(). The fiber holds this slot until it ends. If spawn() throws, the slot is
  /// unchanged and no fiber begins. Works after close(), too. An empty slot aborts.
  /// Errors    errc::closed if the pool was destroyed; see pool.
  template <class T>
  fiber<T> spawn(task<T> root, std::source_location where = std::source_location::current()) {
    return checked().occupy(*this, [&] { return ringlet::spawn(std::move(root), where); });
  }
  using detail::spawns_calls<slot>::spawn;
  /// Gives the slot to a running fiber. A fiber that is already in the pool, or has ended, needs no
  /// slot; the slot is then released.
  template <class T>
  void add(const fiber<T>& added) {
    add_fiber(added.state());
  }
  /// Releases the slot; does nothing if it is empty.
  void release() noexcept;

 private:
  friend class pool;
  explicit slot(pool& of) noexcept;
  pool& checked();
  void take_over(slot& other) noexcept;
  void add_fiber(extend::fiber_base& added);
  void leave() noexcept;

  pool* of_ = nullptr;
  bool was_orphaned_ = false;  // the pool was destroyed
};

/// Waits for a slot, in line.
class pool::slot_wait : public extend::list_wait {
 public:
  slot_wait(pool& of, time_limit timeout) noexcept : extend::list_wait(timeout), of_(&of) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }

  bool try_now() noexcept;
  void watch() noexcept { of_->waiting_.push_back(*this); }
  void describe(std::string& out) const;
  static const extend::wait_type type;

 protected:
  friend class pool;
  /// The reason if there is no slot.
  std::error_code error();
  bool begin(extend::frame_record& at) noexcept { return begin_alone(*this, at); }

  pool* of_;
  slot slot_;
};

/// See pool::reserve().
class [[nodiscard]] pool::reserve_wait : public slot_wait {
 public:
  using slot_wait::slot_wait;
  result<slot> take();
  slot await_resume();
};

/// See pool::wait_available().
class [[nodiscard]] pool::available_wait : public slot_wait {
 public:
  using slot_wait::slot_wait;
  result<bool> take();
  bool await_resume();
};

/// How long to wait for a slot, and the call site. Converts from durations, from
/// std::chrono::steady_clock::time_point and from time_limit.
class pool::slot_limit {
 public:
  /// How long to wait.
  template <std::convertible_to<time_limit> Limit>
  slot_limit(Limit limit, std::source_location where = std::source_location::current()) noexcept
      : limit_(limit), where_(where) {}

 private:
  friend class pool;
  time_limit limit_;
  std::source_location where_;
};

inline pool::reserve_wait pool::reserve(time_limit timeout) noexcept { return {*this, timeout}; }
inline pool::slot pool::try_reserve() noexcept { return take_now(); }
inline pool::available_wait pool::wait_available(time_limit timeout) noexcept {
  return {*this, timeout};
}

template <class F, class... Args>
requires spawnable<F, Args...>
auto pool::spawn_within(const slot_limit& limit, F&& f, Args&&... args)
    -> task<fiber<value_of_call<F, Args...>>> {
  detail::check_temporary<F>();
  return spawn_in_slot(detail::make_call(std::forward<F>(f), std::forward<Args>(args)...),
                       limit.limit_, limit.where_);
}

template <class T>
std::optional<fiber<T>> pool::try_spawn(task<T> root, std::source_location where) {
  slot taken = take_now();
  if (!taken) return std::nullopt;
  return taken.spawn(std::move(root), where);
}

template <class T>
task<fiber<T>> pool::spawn_in_slot(task<T> root, time_limit timeout, std::source_location where) {
  slot taken = co_await reserve(timeout);
  co_return taken.spawn(std::move(root), where);
}

template <std::invocable Spawn>
auto pool::occupy(slot& taken, Spawn spawn) {
  member_owner added = make_member();  // first: nothing may fail once there is a fiber
  auto made = spawn();
  hand_to(taken, std::move(added), made.state());
  return made;
}

template <class Items>
std::ranges::range_value_t<Items> pool::item_at(const std::ranges::iterator_t<Items>& at) {
  using item = std::ranges::range_value_t<Items>;
  if constexpr (std::constructible_from<item, std::ranges::range_reference_t<Items>>) {
    return static_cast<item>(*at);
  } else {
    static_assert(
        !std::ranges::view<Items>,
        "a map over a view needs items that can be copied: it would move them out of what "
        "belongs to another; give the container itself, with std::move()");
    return std::ranges::iter_move(at);
  }
}

template <class Items, class F>
auto pool::map_calls(Items items, F f, std::source_location where)
    -> task<std::vector<value_or_unit<value_of<F, Items>>>> {
  using value = value_of<F, Items>;
  using all = std::vector<fiber<value>>;
  const all made = co_await detail::run_group<all, task_group::failures::are_outcomes>(
      spawn_each<Items, F>, *this, items, f, where);
  for (const fiber<value>& one : made) {
    if (one.result() != outcome::value) detail::throw_failure(one.state());
  }
  std::vector<value_or_unit<value>> values;
  values.reserve(made.size());
  for (const fiber<value>& one : made) values.push_back(detail::move_value_out(one.state()));
  co_return values;
}

template <class Items, class F>
task<std::vector<fiber<pool::value_of<F, Items>>>> pool::spawn_each(
    task_group& calls, pool& slots, Items& items, F& f, const std::source_location& where) {
  std::vector<fiber<value_of<F, Items>>> made;
  const auto end = std::ranges::end(items);
  for (auto at = std::ranges::begin(items); at != end; ++at) {
    slot taken = co_await slots.reserve();
    made.push_back(slots.occupy(taken, [&] {
      return calls.spawn(detail::make_call(std::ref(f), item_at<Items>(at)), where);
    }));
  }
  co_return made;
}

template <class Items, class F>
async_generator<fiber<pool::value_of<F, Items>>> pool::each(Items items, F f, bool in_order,
                                                            std::source_location where) {
  detail::calls_ahead ahead(in_order);
  std::optional<std::ranges::iterator_t<Items>> at;
  bool has_more = true;
  for (;;) {
    // Only the first call waits for a slot; further calls use slots that are free. The next item is
    // taken from the range only when there is a call to make.
    while (has_more && (ahead.empty() || (ahead.size() < size_ && free() != 0))) {
      if (at) {
        ++*at;
      } else {
        at.emplace(std::ranges::begin(items));
      }
      has_more = *at != std::ranges::end(items);
      if (!has_more) break;
      slot taken = co_await reserve();
      ahead.add([&] { return taken.spawn(detail::make_call(f, item_at<Items>(*at)), where); });
    }
    if (ahead.empty()) co_return;
    co_await ahead.next();
    fiber<value_of<F, Items>> done = ahead.pop<value_of<F, Items>>();
    co_yield std::move(done);
  }
}

}  // namespace ringlet
