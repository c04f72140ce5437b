// pool: a group of limited size, as gevent's Pool, and maps over it.
#pragma once

#include <ringlet/async_generator.hpp>
#include <ringlet/detail/calls_ahead.hpp>
#include <ringlet/detail/pool_calls.hpp>
#include <ringlet/error.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/group.hpp>
#include <ringlet/intrusive_list.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/until.hpp>
#include <ringlet/wait.hpp>
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

/// At most `size` fibers at once: each has a slot, which is free again in the moment of its end.
/// Slots go to those who wait for one, first come, first served; a fiber that comes later gets none
/// before them.
///
///     pool workers(100);
///     for (;;) {
///       pool::slot free = co_await workers.reserve();
///       free.spawn(serve, co_await listener.accept());
///     }
///
/// Its fibers keep running when the pool is destroyed. No fiber may wait for a slot then, or hold
/// one: close() and join() it first. (While an exception unwinds the owner of the pool this is
/// reported, and the fibers get errc::closed.) Thread: that of its scheduler.
class pool : private group, public detail::pool_calls<pool> {
  template <class F, class... Args>
  using value_of_call =
      typename std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>::value_type;
  template <class F, class Items>
  using value_of = typename std::invoke_result_t<std::decay_t<F>&,
                                                 std::ranges::range_value_t<Items>>::value_type;
  class slot_wait;

 public:
  class slot;
  class reserve_wait;
  class available_wait;
  class slot_limit;

  /// A pool of size 0 never has a slot.
  explicit pool(std::size_t size, std::source_location where = std::source_location::current())
      : size_(size), where_(where) {}
  ~pool() override;

  /// Waits for a slot and takes it: for what it takes to spawn in it, see there. The only way to
  /// wait for a slot beside other things, in a select(), which loses nothing.
  /// Errors  errc::closed after close(), also for those who wait; timed_out.
  reserve_wait reserve(until limit = forever) noexcept;
  /// A slot if there is one now; else an empty one.
  slot try_reserve() noexcept;

  /// Waits for a slot, then spawns that task, or a call of `f(args...)` as the free spawn() does.
  /// Killed before there was one, nothing was spawned. With g++ 12 name a callable that has
  /// something to destroy first, here and below; see with_timeout().
  /// Errors  as reserve(); what the making of the task throws.
  template <class T>
  task<fiber<T>> spawn(task<T> root, std::source_location where = std::source_location::current()) {
    return spawn_in_slot(std::move(root), forever, where);
  }
  using detail::pool_calls<pool>::spawn;
  static constexpr bool spawn_is_awaited = true;
  /// The same if a slot comes in time, `co_await workers.spawn_within(5s, f, args...)`; else throws
  /// timed_out, and nothing was spawned.
  template <class F, class... Args>
  requires detail::makes_task<F, Args...>
  auto spawn_within(const slot_limit& limit, F&& f, Args&&... args)
      -> task<fiber<value_of_call<F, Args...>>>;
  template <class F, class... Args>
  requires detail::spawns_wrongly<F, Args...>
  auto spawn_within(const slot_limit&, F&&, Args&&...) {
    detail::explain_wrong_spawn<F, Args...>();
    return fiber<>().get();  // can be awaited
  }
  /// Spawns if there is a slot now; nothing otherwise.
  template <class T>
  std::optional<fiber<T>> try_spawn(task<T> root,
                                    std::source_location where = std::source_location::current());
  using detail::pool_calls<pool>::try_spawn;

  /// Waits for a slot for a fiber that lives already: it has the slot until its end. False when the
  /// limit passed first. A fiber that is in the pool, or has ended or does so before there is a
  /// slot, needs none: true.
  /// Errors  errc::closed, as reserve().
  template <class T>
  task<bool> add(fiber<T> added, until limit = forever) {
    co_return co_await add_in_slot(added.state(), limit);
  }

  /// Spawns, and waits for what the task returns; as get(). Called by a fiber of this pool it makes
  /// the call itself, because waiting for a slot could then be waiting for itself.
  template <class T>
  task<T> apply(task<T> call, std::source_location where = std::source_location::current()) {
    if (group::contains(current())) co_return co_await std::move(call);
    fiber<T> made = co_await spawn_in_slot(std::move(call), forever, where);
    co_return co_await std::move(made).get();
  }
  using detail::pool_calls<pool>::apply;

  /// Calls `f(item)` for each, at most capacity() at once, and returns the values in the order of
  /// the items. When calls have failed, all are made, and the exception of the first item is
  /// thrown. What ends the caller ends the calls first; so does an exception of the range. `items`
  /// and `f` are copied, and each call has a copy of its item; items that cannot be copied are
  /// moved out of a container that was given as an rvalue. A range that can be read once, such as a
  /// generator, is read as slots are free.
  template <std::ranges::input_range Items, class F>
  auto map(Items items, F&& f, std::source_location where = std::source_location::current())
      -> task<std::vector<detail::value_or_unit<value_of<F, Items>>>> {
    detail::check_temporary<F>();
    return map_calls<Items, std::decay_t<F>>(std::move(items), std::forward<F>(f), where);
  }

  /// The same, one by one in the order of the items, as they are asked for: yields fibers that
  /// have ended, so that a failed call does not end the iteration. Items are taken as slots are
  /// free, and at most capacity() calls are ahead of the reader. Given up early, or ended by an
  /// exception of the range, the calls under way are killed.
  template <std::ranges::input_range Items, class F>
  async_generator<fiber<value_of<F, Items>>> imap(
      Items items, F f, std::source_location where = std::source_location::current()) {
    return each(std::move(items), std::move(f), true, where);
  }
  /// The same in the order in which the calls end.
  template <std::ranges::input_range Items, class F>
  async_generator<fiber<value_of<F, Items>>> imap_unordered(
      Items items, F f, std::source_location where = std::source_location::current()) {
    return each(std::move(items), std::move(f), false, where);
  }

  /// Waits in line until there is a slot, and takes none. But until it waits for something else the
  /// caller finds it free, even with fibers in line: try_spawn() and the like succeed. If it does
  /// not take it, the next in line has it by the end of the turn. False when the limit passed
  /// first.
  /// Errors  errc::closed.
  available_wait wait_available(until limit = forever) noexcept;
  std::size_t capacity() const noexcept { return size_; }
  /// How many slots the caller could take now. Those of fibers and those that are reserved are not
  /// free.
  std::size_t free() const noexcept { return size_ - taken() + (is_offered_to_caller() ? 1 : 0); }

  /// No slot is given any more: who waits for one, or asks for one later, gets errc::closed. Those
  /// that are taken stay so: fibers keep running, and a reserved one may still be used.
  void close() noexcept;
  bool is_closed() const noexcept { return closed_; }

  /// Waits until no slot is taken: as group::join(), but waits for reserved ones, too, and those
  /// which fibers were handed that have not gone on yet. So after close() and join() nothing of the
  /// pool runs or begins. Holding a slot it would wait for itself.
  empty_wait join(until limit = forever) noexcept { return group::join(limit); }
  /// Asks all to end, also those that begin in a slot during the wait, and waits like join().
  using group::contains;
  using group::empty;
  using group::kill;
  using group::size;

 private:
  struct slot_tag;
  struct end_of_offer : done_watcher {
    explicit end_of_offer(pool& of) noexcept;
    pool* made_by;
  };

  std::size_t taken() const noexcept { return group::size() + expected(); }
  slot take_now() noexcept;
  void offer(slot& left, const fiber_base& to) noexcept;
  void withdraw_offer() noexcept;
  bool is_offered_to_caller() const noexcept;
  void on_left() noexcept override;
  void describe(std::string& out) const;

  /// Has `spawn` make a fiber, which takes the slot over; if that fails the slot is as it was.
  template <std::invocable Spawn>
  auto occupy(slot& taken, Spawn spawn);
  void hand_to(slot& taken, member_owner added, fiber_base& made) noexcept;

  template <class T>
  task<fiber<T>> spawn_in_slot(task<T> root, until limit, std::source_location where);
  task<bool> add_in_slot(fiber_base& added, until limit);

  template <class Items, class F>
  auto map_calls(Items items, F f, std::source_location where)
      -> task<std::vector<detail::value_or_unit<value_of<F, Items>>>>;
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
  wait_list waiting_;
  intrusive_list<slot, slot_tag> slots_;  // those that are reserved
  bool closed_ = false;
  // What wait_available() promises: one is kept for the fiber of this id until the turn ends, or
  // another one asks. 0 when there is no offer.
  std::uint64_t offered_to_ = 0;
  end_of_offer end_of_offer_{*this};
};

/// A slot that is reserved in a pool, for one fiber. Given back when it is dropped. Movable; empty
/// when it was moved from, given back, or a fiber was spawned in it.
class pool::slot : public list_hook<slot_tag>, public spawns_calls<slot> {
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

  explicit operator bool() const noexcept { return of_ != nullptr; }

  /// As the functions of that name, in this slot, which the fiber has until its end. When they
  /// throw the slot is as it was, and no fiber begins. Also after close(). An empty slot aborts.
  /// Errors  errc::closed when the pool was destroyed; see there.
  template <class T>
  fiber<T> spawn(task<T> root, std::source_location where = std::source_location::current()) {
    return checked().occupy(*this, [&] { return ringlet::spawn(std::move(root), where); });
  }
  using spawns_calls<slot>::spawn;
  /// Has a fiber that lives take it. One that is in the pool, or has ended, needs none, and the
  /// slot is given back.
  template <class T>
  void add(const fiber<T>& added) {
    add_fiber(added.state());
  }
  /// Gives it back; nothing when it is empty.
  void release() noexcept;

 private:
  friend class pool;
  explicit slot(pool& of) noexcept;
  pool& checked();
  void take_over(slot& other) noexcept;
  void add_fiber(fiber_base& added);
  void leave() noexcept;

  pool* of_ = nullptr;
  bool was_orphaned_ = false;  // the pool has gone
};

/// Waits for a slot, in line.
class pool::slot_wait : public list_wait {
 public:
  slot_wait(pool& of, until limit) noexcept : list_wait(limit), of_(&of) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }

  bool try_now() noexcept;
  void watch() noexcept { of_->waiting_.push_back(*this); }
  void describe(std::string& out) const;
  static const wait_type type;

 protected:
  friend class pool;
  /// Why there is no slot, if there is none.
  std::error_code error();
  bool begin(frame_record& at) noexcept { return begin_alone(*this, at); }

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

/// How long to wait for a slot, and the place in the program that says so. Converts from durations,
/// from std::chrono::steady_clock::time_point and from until.
class pool::slot_limit {
 public:
  template <std::convertible_to<until> Limit>
  slot_limit(Limit limit, std::source_location where = std::source_location::current()) noexcept
      : limit_(limit), where_(where) {}

 private:
  friend class pool;
  until limit_;
  std::source_location where_;
};

inline pool::reserve_wait pool::reserve(until limit) noexcept { return {*this, limit}; }
inline pool::slot pool::try_reserve() noexcept { return take_now(); }
inline pool::available_wait pool::wait_available(until limit) noexcept { return {*this, limit}; }

template <class F, class... Args>
requires detail::makes_task<F, Args...>
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
task<fiber<T>> pool::spawn_in_slot(task<T> root, until limit, std::source_location where) {
  slot taken = co_await reserve(limit);
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
    -> task<std::vector<detail::value_or_unit<value_of<F, Items>>>> {
  using value = value_of<F, Items>;
  using all = std::vector<fiber<value>>;
  const all made = co_await detail::run_group<all, task_group::failures::are_outcomes>(
      spawn_each<Items, F>, *this, items, f, where);
  for (const fiber<value>& one : made) {
    if (one.result() != outcome::value) throw_failure(one.state());
  }
  std::vector<detail::value_or_unit<value>> values;
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
    // The first call is worth waiting for a slot, the other calls only help. The range is asked for
    // the next item no sooner than that is wanted.
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
