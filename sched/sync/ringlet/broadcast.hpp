// broadcast: items that each of many fibers receives.
//
//     broadcast<std::string> room(1024, lag_policy::drop_oldest);
//
//     task<> show(broadcast<std::string>::subscriber lines, tcp_stream to) {
//       while (const auto next = co_await lines.next()) co_await to.write_all(*next);
//       if (lines.missed() != 0) co_await to.write_all("you were too slow for some lines\n");
//     }
//     void on_peer(tcp_stream peer) { spawn(show, room.subscribe(), std::move(peer)); }
//     task<> say(std::string line) { co_await room.send(std::move(line)); }
//
// For items of which each is received by one fiber, see queue; for the latest value only, watch.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/broadcast_base.hpp>
#include <ringlet/detail/broadcast_state.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/broadcast_waits.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace ringlet {

/// What happens when the next item is sent to a broadcast while one of its subscribers has yet to
/// receive as many as its capacity.
enum class lag_policy : std::uint8_t {
  /// The oldest item is overwritten, and the subscriber counts it as missed. No sender waits.
  drop_oldest,
  /// The sender waits until the subscriber has received the oldest item, or is gone. No item is
  /// missed.
  wait,
  /// The oldest item is overwritten, and the subscriber receives no more items, only errc::lagged.
  /// No sender waits.
  disconnect,
};

/// What a new subscriber of a broadcast receives first.
enum class from : std::uint8_t {
  /// The next item that is sent.
  latest,
  /// The oldest item that the broadcast retains.
  oldest,
};

/// A ring of items. Every subscriber receives a copy of each item, in order, beginning where
/// subscribe() says. The broadcast retains the items sent last, as many as its capacity, also after
/// all have received them: for subscribers that come later, and until they are overwritten. Without
/// subscribers no sender waits. Senders are served first come, first served.
///
/// Errors    errc::closed from send() after close(), and from receive() when all items before it
///           were received; errc::lagged from receive(); timed_out. The constructor throws
///           std::invalid_argument if the capacity is 0, and std::bad_alloc.
/// Cancellation  Nothing is lost or doubled: a cancelled send() leaves its item with the caller, a
///           cancelled receive() has taken none. Success wins: an item that was sent while a fiber
///           waited for it is returned there, and the interruption is delivered at the fiber's next
///           wait.
/// Lifetime  Subscribers may outlive the broadcast: its end closes it. It must outlive the fibers
///           that wait in send(); otherwise the destructor aborts. While an exception unwinds the
///           owner, it ends them with errc::closed instead, and reports that. A subscriber must
///           outlive the fiber that waits for it; otherwise its destructor aborts.
/// Thread    That of the scheduler whose fibers use it, or else of the one that uses it first, as
///           long as that scheduler runs. On other threads every call aborts that sends, receives,
///           subscribes or closes.
/// Memory    Made with the broadcast: `capacity` items, and with lag_policy::wait as many counters.
///           Sending, receiving and subscribing allocate only what copying an item does. To copy
///           large items cheaply, send std::shared_ptr<const item>.
template <class T>
class broadcast {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "items are sent where nothing may be thrown");
  static_assert(std::copy_constructible<T>,
                "each subscriber receives a copy: send std::shared_ptr<T> if there is none");
  using state = detail::broadcast_state<T>;

 public:
  using value_type = T;
  class subscriber;
  /// What subscriber::receive() returns, to be awaited.
  using receive_wait = extend::broadcast_receive_wait<T, subscriber>;
  /// What subscriber::next() returns, to be awaited.
  using next_wait = extend::broadcast_next_wait<T, subscriber>;

  /// Retains the last `capacity` items, at least 1. A subscriber receives nothing while a sender
  /// continues without a wait, or while the subscriber itself awaits something else, such as a
  /// write. Make `capacity` several times the largest number of items that come in that time. A
  /// send() that need not wait does not let other fibers run, and neither does a read of bytes that
  /// have arrived: a sender of long bursts calls sleep(0s) several times per `capacity`, so that
  /// subscribers can write what they received.
  broadcast(std::size_t capacity, lag_policy policy)
      : state_(std::make_shared<state>(capacity, policy)) {}
  broadcast(const broadcast&) = delete;
  broadcast& operator=(const broadcast&) = delete;
  ~broadcast() { state_->end(); }

  /// Moves `item` in, and wakes all subscribers that wait. With lag_policy::wait it waits until no
  /// subscriber is `capacity` items behind. `item` is moved from only on success. Takes the same
  /// time for any number of subscribers: 256 are woken at once, and then 256 each turn of the
  /// scheduler. May be a part of a select().
  extend::broadcast_send_wait<T> send(T&& item, time_limit timeout = forever) noexcept {
    return {*state_, item, timeout};
  }
  /// The same with a copy.
  extend::broadcast_send_copy_wait<T> send(const T& item, time_limit timeout = forever) {
    return {*state_, item, timeout};
  }
  /// Sends `item` if that need not wait; otherwise, and if the broadcast is closed, returns false
  /// and leaves `item` unchanged. Needs no fiber.
  bool try_send(T&& item) noexcept { return !state_->is_closed() && state_->put(item); }
  bool try_send(const T& item) {
    T copy(item);
    return try_send(std::move(copy));
  }

  /// After close(), too: then the subscriber receives what is retained, or nothing.
  subscriber subscribe(from first = from::latest) { return subscriber(state_, first); }

  /// Ends the broadcast: current and later sends fail with errc::closed. Subscribers receive the
  /// items that were sent; then receive() fails with errc::closed. Idempotent.
  void close() noexcept { state_->close(); }
  /// Whether sends fail.
  bool is_closed() const noexcept { return state_->is_closed(); }

  /// How many items it can retain.
  std::size_t capacity() const noexcept { return state_->capacity(); }
  /// What happens to slow subscribers.
  lag_policy policy() const noexcept { return state_->policy(); }
  /// How many subscribers there are.
  std::size_t subscribers() const noexcept { return state_->subscribers(); }
  /// How many items were sent.
  std::uint64_t sent() const noexcept { return state_->sent(); }
  /// How many items are retained: what a subscriber from::oldest would receive.
  std::size_t size() const noexcept { return state_->size(); }
  /// With lag_policy::wait: how many items the slowest subscriber has yet to receive. Otherwise 0.
  std::size_t backlog() const noexcept { return state_->backlog(); }
  /// The most so far.
  std::size_t backlog_peak() const noexcept { return state_->backlog_peak(); }

 private:
  std::shared_ptr<state> state_;
};

/// What subscribe() returns. For one fiber at a time: a second one that waits aborts. When it is
/// destroyed, senders no longer wait for it. Movable, while no fiber waits; one that was moved from
/// may only be destroyed or assigned to.
template <class T>
class broadcast<T>::subscriber : private detail::broadcast_subscriber {
 public:
  /// Waits for the next item and returns a copy. What copying throws is thrown, and the item is
  /// received by the next call. May be a part of a select().
  receive_wait receive(time_limit timeout = forever) noexcept { return {*this, *this, timeout}; }
  /// The same, but returns an empty optional after close() instead of an error.
  next_wait next(time_limit timeout = forever) noexcept { return {*this, *this, timeout}; }
  /// The next item, if it was sent. Throws errc::lagged. Needs no fiber.
  std::optional<T> try_receive() {
    check_no_second();
    const std::error_code error = find_next();
    if (error == errc::closed) return {};
    if (error) throw_error(error, "try_receive");
    return take();
  }

  /// How many items were overwritten that it had yet to receive.
  std::uint64_t missed() const noexcept { return detail::broadcast_subscriber::missed(); }
  /// How many items it can receive without waiting.
  std::size_t available() const noexcept { return detail::broadcast_subscriber::available(); }
  /// With lag_policy::disconnect: whether it has missed items, and so receives no more.
  bool is_lagged() const noexcept { return detail::broadcast_subscriber::is_lagged(); }

 private:
  friend class broadcast;
  template <class, class>
  friend class extend::broadcast_receive_wait;
  template <class, class>
  friend class extend::broadcast_next_wait;
  subscriber(const std::shared_ptr<state>& on, from first) noexcept
      : detail::broadcast_subscriber(on, first) {}

  // Precondition: find_next() has found it.
  T take() {
    T copy(static_cast<const state&>(shared()).item(next_number()));
    advance();
    return copy;
  }
};

}  // namespace ringlet
