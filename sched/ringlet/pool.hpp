// pool: a group of limited size, as gevent's Pool, and maps over it.
#pragma once

#include <ringlet/async_generator.hpp>
#include <ringlet/error.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/group.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/until.hpp>
#include <ringlet/wait.hpp>
#include <ringlet/when_all.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <functional>
#include <iterator>
#include <optional>
#include <ranges>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet {

/// At most `size` fibers at once. Whoever would start one more waits for a place, first come, first
/// served; a fiber gives its place back in the moment of its end. Its fibers go on when the pool
/// goes. Thread: that of its scheduler.
class pool : private group {
  template <class F, class... Args>
  using call_of = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
  template <class F, class Items>
  using value_of =
      typename std::invoke_result_t<F&, std::ranges::range_reference_t<Items>>::value_type;

  /// Waits for a place in a pool, in line.
  class [[nodiscard]] place_wait : public list_wait {
   public:
    place_wait(pool& of, until limit) noexcept : list_wait(limit), of_(&of) {}

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
      return begin(caller.promise());
    }
    result<void> take() { return cancellation_error(); }
    void await_resume();

    bool try_now() noexcept;
    void watch() noexcept { of_->waiting_.push_back(*this); }
    static const wait_type type;

   protected:
    friend class pool;
    bool begin(frame_record& at) noexcept { return begin_alone(*this, at); }
    static void describe(const void* object, std::string& out);
    pool* of_;
  };

 public:
  /// In dumps its fibers are spawned here. A pool of size 0 never has a place.
  explicit pool(std::size_t size, std::source_location where = std::source_location::current())
      : size_(size), where_(where) {}
  ~pool() override;

  /// Waits for a place, then spawns. Killed before there was one, nothing was spawned. With g++ 12
  /// name a callable that has something to destroy first, here and below; see with_timeout().
  /// Errors  errc::closed after close(), also for those who wait.
  template <class F, class... Args>
  requires detail::makes_task<F, Args...>
  auto spawn(F&& f, Args&&... args) -> task<fiber<typename call_of<F, Args...>::value_type>> {
    detail::check_temporary<F>();
    return spawn_call<std::decay_t<F>, std::decay_t<Args>...>(std::forward<F>(f),
                                                              std::forward<Args>(args)...);
  }
  /// Spawns if there is a place now; nothing otherwise.
  template <class F, class... Args>
  requires detail::makes_task<F, Args...>
  auto try_spawn(F f, Args... args)
      -> std::optional<fiber<typename call_of<F, Args...>::value_type>> {
    if (closed_ || taken_ >= size_) return std::nullopt;
    ++taken_;
    return start(std::move(f), std::move(args)...);
  }

  /// Spawns, and waits for what the task yields; as get(). Called by a fiber of this pool it makes
  /// the call itself, because waiting for a place could then be waiting for itself.
  template <class F, class... Args>
  requires detail::makes_task<F, Args...>
  auto apply(F&& f, Args&&... args) -> call_of<F, Args...> {
    detail::check_temporary<F>();
    return apply_call<std::decay_t<F>, std::decay_t<Args>...>(std::forward<F>(f),
                                                              std::forward<Args>(args)...);
  }

  /// Calls `f(item)` for each, at most size() at once, and yields the values in the order of the
  /// items. When calls have failed, all are made, and the exception of the first item is thrown.
  /// What ends the caller ends the calls first. `items` and `f` are copied.
  template <std::ranges::forward_range Items, class F>
  auto map(Items items, F&& f)
      -> task<std::vector<detail::value_or_unit<value_of<std::decay_t<F>, Items>>>> {
    detail::check_temporary<F>();
    return map_calls<Items, std::decay_t<F>>(std::move(items), std::forward<F>(f));
  }

  /// The same, one by one in the order of the items, as they are asked for: yields fibers that have
  /// ended, so that a failed call does not end the iteration. Items are taken as places are free,
  /// and at most capacity() calls are ahead of who iterates. Given up early, the calls under way
  /// are killed.
  template <std::ranges::forward_range Items, class F>
  async_generator<fiber<value_of<F, Items>>> imap(Items items, F f) {
    return each(std::move(items), std::move(f), true);
  }
  /// The same in the order in which the calls end.
  template <std::ranges::forward_range Items, class F>
  async_generator<fiber<value_of<F, Items>>> imap_unordered(Items items, F f) {
    return each(std::move(items), std::move(f), false);
  }

  /// See wait_available().
  class available_wait;
  /// Waits until there is a place, behind those who wait for one, and does not take it: it is kept
  /// until the caller goes on. False when the limit passed first. Errors  errc::closed.
  available_wait wait_available(until limit = forever) noexcept;
  std::size_t capacity() const noexcept { return size_; }
  std::size_t free() const noexcept { return size_ - taken_; }

  /// No more fibers: who waits for a place, or asks for one later, gets errc::closed. Those that
  /// run go on; join() waits for them.
  void close() noexcept;
  bool is_closed() const noexcept { return closed_; }

  using group::contains;
  using group::empty;
  using group::join;
  using group::kill;
  using group::size;

 private:
  /// Waits for a place and takes it.
  place_wait place() noexcept { return {*this, forever}; }
  void give_place_back() noexcept;
  void on_left() noexcept override { give_place_back(); }

  /// Makes a fiber for a place that was taken, which is given back when that fails.
  template <class F, class... Args>
  auto start(F&& f, Args&&... args) {
    return occupy([&] {
      auto call = detail::make_call(std::forward<F>(f), std::forward<Args>(args)...);
      return ringlet::spawn(std::move(call), where_);
    });
  }
  template <std::invocable Spawn>
  auto occupy(Spawn spawn) {
    try {
      auto made = spawn();
      add(made.state());
      return made;
    } catch (...) {
      give_place_back();
      throw;
    }
  }

  template <class F, class... Args>
  auto spawn_call(F f, Args... args) -> task<fiber<typename call_of<F, Args...>::value_type>> {
    co_await place();
    co_return start(std::move(f), std::move(args)...);
  }
  template <class F, class... Args>
  call_of<F, Args...> apply_call(F f, Args... args) {
    if (group::contains(current())) {
      co_return co_await std::invoke(std::move(f), std::move(args)...);
    }
    co_await place();
    auto made = start(std::move(f), std::move(args)...);
    co_return co_await std::move(made).get();
  }

  template <std::ranges::forward_range Items, class F>
  auto map_calls(Items items, F f) -> task<std::vector<detail::value_or_unit<value_of<F, Items>>>> {
    using value = value_of<F, Items>;
    using all = std::vector<fiber<value>>;
    const all made = co_await detail::run_group<all, task_group::failures::are_outcomes>(
        spawn_each<Items, F>, *this, items, f);
    for (const fiber<value>& one : made) {
      if (one.result() != outcome::value) throw_failure(one.state());
    }
    std::vector<detail::value_or_unit<value>> values;
    values.reserve(made.size());
    for (const fiber<value>& one : made) values.push_back(detail::move_value_out(one.state()));
    co_return values;
  }

  template <class Items, class F>
  static task<std::vector<fiber<value_of<F, Items>>>> spawn_each(task_group& calls, pool& places,
                                                                 Items& items, F& f) {
    std::vector<fiber<value_of<F, Items>>> made;
    for (auto&& item : items) {
      co_await places.place();
      made.push_back(places.occupy(
          [&] { return calls.spawn(detail::make_call(std::ref(f), item), places.where_); }));
    }
    co_return made;
  }

  /// Calls that nobody waits for any more are killed.
  template <class T>
  struct calls_ahead : std::deque<fiber<T>> {
    ~calls_ahead() {
      for (const fiber<T>& one : *this) one.request_kill();
    }
  };

  template <class Items, class F>
  async_generator<fiber<value_of<F, Items>>> each(Items items, F f, bool in_order) {
    calls_ahead<value_of<F, Items>> ahead;
    auto next = std::ranges::begin(items);
    while (next != std::ranges::end(items) || !ahead.empty()) {
      // The first one is worth waiting for a place, the others only help.
      while (next != std::ranges::end(items) &&
             (ahead.empty() || (ahead.size() < size_ && taken_ < size_))) {
        co_await place();
        ahead.push_back(start(f, *next));
        ++next;
      }
      std::size_t which = 0;
      if (in_order) {
        co_await ahead.front().join();
      } else {
        const std::vector<std::size_t> ended = co_await wait(ahead, one_of_them);
        which = ended.front();
      }
      const auto at = ahead.begin() + static_cast<std::ptrdiff_t>(which);
      fiber<value_of<F, Items>> done = *at;
      ahead.erase(at);
      co_yield std::move(done);
    }
  }
  static constexpr join_options one_of_them{.limit = forever, .count = 1, .raise = false};

  std::size_t size_;
  std::size_t taken_ = 0;
  std::source_location where_;
  wait_list waiting_;
  bool closed_ = false;
};

class [[nodiscard]] pool::available_wait : public place_wait {
 public:
  using place_wait::place_wait;
  result<bool> take();
  bool await_resume();
};

inline pool::available_wait pool::wait_available(until limit) noexcept { return {*this, limit}; }

}  // namespace ringlet
