// watch: one value that changes, and fibers that want to know its latest state.
//
//     watch<std::string> greeting("hello\n");
//
//     task<> show(tcp_stream to) {
//       watch<std::string>::subscriber changes = greeting.subscribe();
//       while (co_await as_result(changes.changed())) {
//         const std::string now = changes.latest();  // a copy: it may change during the wait
//         co_await to.write_all(now);
//       }
//     }  // ends when the watch is closed
//     void change(std::string to) { greeting.set(std::move(to)); }
//
// A subscriber that is slow skips values; for one that must see all of them, see broadcast.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/watch_base.hpp>
#include <ringlet/extend/change_wait.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace ringlet {

/// One value, which always exists, and the number of its version. Subscribers wait for a version
/// newer than the one that they saw last. They never see an older value after a newer one, and need
/// not see each of them.
///
/// Errors    errc::closed from changed(), after close() or when the watch was destroyed, once the
///           last version has been seen; from set() and update() after close(). A limit that passes
///           is not an error: changed() returns false. The constructor throws std::bad_alloc.
/// Cancellation  Loses nothing: what a subscriber has not seen stays new to it.
/// Lifetime  A subscriber may outlive its watch, and keeps the last value. It must outlive the
///           fiber that waits for it; otherwise its destructor aborts.
/// Thread    That of the scheduler whose fibers use it, or else of the one that uses it first, as
///           long as that scheduler runs. On other threads every call aborts that waits, sets,
///           closes, or marks a version as seen.
/// Memory    One block, made with the watch. Subscribing and waiting do not allocate.
template <class T>
class watch {
  struct state : detail::watch_base {
    template <class... Args>
    explicit state(Args&&... args) : value(std::forward<Args>(args)...) {}
    T value;
  };

 public:
  using value_type = T;
  class subscriber;

  /// The initial value is version 1.
  explicit watch(T initial) : state_(std::make_shared<state>(std::move(initial))) {}
  watch(const watch&) = delete;
  watch& operator=(const watch&) = delete;
  ~watch() { state_->end(); }

  /// Replaces the value and wakes all subscribers that wait. The old value is destroyed after that,
  /// so its destructor sees the new one, and may call set(). Takes the same time for any number of
  /// them: 256 are woken at once, and then 256 each turn of the scheduler.
  void set(T value) requires std::is_move_assignable_v<T> {
    state_->check_open();
    std::ranges::swap(state_->value, value);
    state_->publish();
  }
  /// Changes the value in place: calls `change` with a T&, which must not wait. If it returns bool,
  /// false means that nothing has changed, and no subscriber is woken. If it throws, none is woken
  /// either; the part of the change that it made remains.
  template <std::invocable<T&> F>
  void update(F&& change) {
    using answer = std::invoke_result_t<F, T&>;
    static_assert(std::is_void_v<answer> || std::is_same_v<answer, bool>,
                  "update() takes a function that returns nothing, or whether it has changed the "
                  "value; it cannot wait, so it is no task");
    state_->check_open();
    if constexpr (std::is_void_v<answer>) {
      std::invoke(std::forward<F>(change), state_->value);
    } else if (!std::invoke(std::forward<F>(change), state_->value)) {
      return;
    }
    state_->publish();
  }

  /// The current value. The reference is valid as long as the watch; set() changes what it refers
  /// to, so copy what you need across a wait.
  const T& value() const noexcept { return state_->value; }
  /// 1 for the initial value, and 1 more after each set().
  std::uint64_t version() const noexcept { return state_->version(); }

  /// A new subscriber has seen nothing: its first changed() returns at once. To wait for later
  /// values only, call latest() first. May be called after close(), too.
  subscriber subscribe() { return subscriber(state_); }
  /// How many subscribers there are.
  std::size_t subscribers() const noexcept {
    return static_cast<std::size_t>(state_.use_count()) - 1;
  }

  /// No more values: set() and update() fail from now on. Subscribers see the last value, and then
  /// errc::closed. Idempotent.
  void close() noexcept { state_->close(); }
  /// Whether set() fails.
  bool is_closed() const noexcept { return state_->is_closed(); }

 private:
  std::shared_ptr<state> state_;
};

/// What subscribe() returns. For one fiber at a time: a second one that waits aborts. Movable,
/// while no fiber waits; one that was moved from may only be destroyed or assigned to.
template <class T>
class watch<T>::subscriber : private detail::watch_subscriber {
 public:
  /// Waits for a version newer than the one that this subscriber saw last. Returns true, or false
  /// if the limit passed first. Throws errc::closed if there will be none. Does not mark it as
  /// seen: latest() does. May be a part of a select().
  extend::change_wait changed(time_limit timeout = forever) noexcept { return {*this, timeout}; }
  /// Whether changed() would return true at once.
  bool has_changed() const noexcept { return is_behind(); }

  /// The current value, which counts as seen. The reference is valid as long as this subscriber;
  /// set() changes what it refers to, so copy what you need across a wait.
  const T& latest() noexcept {
    mark_seen();
    return value();
  }
  /// The same, without marking it as seen.
  const T& value() const noexcept { return static_cast<const state&>(shared()).value; }
  /// The version that it saw last; 0 if none.
  std::uint64_t seen() const noexcept { return detail::watch_subscriber::seen(); }
  /// Whether there will be no more versions.
  bool is_closed() const noexcept { return shared().is_closed(); }

 private:
  friend class watch;
  explicit subscriber(const std::shared_ptr<state>& on) noexcept : detail::watch_subscriber(on) {}
};

}  // namespace ringlet
