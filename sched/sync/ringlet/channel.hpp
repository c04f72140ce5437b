// channel: items sent from fibers to fibers through two kinds of ends, and closed by losing them.
//
//     task<> count(channel_sender<int> out, int from, int to) {
//       for (int i = from; i != to; ++i) co_await out.send(i);
//     }  // its copy of the end goes
//     task<int> add_up() {
//       auto [out, in] = channel<int>(16);
//       spawn(count(out, 0, 100));
//       spawn(count(std::move(out), 100, 200));
//       int sum = 0;
//       while (auto next = co_await in.receive()) sum += *next;
//       co_return sum;  // the last sender has gone, and nothing is left
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/as_result.hpp>
#include <ringlet/async_generator.hpp>
#include <ringlet/detail/channel_end.hpp>
#include <ringlet/detail/channel_state.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/channel_permit.hpp>
#include <ringlet/extend/channel_waits.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <utility>

namespace ringlet {

template <class T>
struct channel_ends;
/// Makes a channel; see channel_sender and channel_receiver.
template <class T>
channel_ends<T> channel(std::size_t capacity);

/// Sends into a channel; see channel(). A copy is another sender. Using one that was closed or
/// moved from aborts.
///
/// Errors    errc::closed when the last receiver has gone; timed_out; std::bad_alloc. `item` is
///           then as it was.
/// Cancellation  Loses nothing: the item stays with the caller, no place is kept. Success wins: a
///           fiber whose item was taken, or that has a place, is interrupted at the next wait.
/// Lifetime  Must outlive the calls that wait through it; see channel(). Permits may outlive it.
/// Thread    That of the scheduler whose fibers use it. On other threads its calls abort, and so do
///           copying and destroying it.
/// Memory    See channel().
template <class T>
class channel_sender : public detail::channel_end<T, &detail::channel_state<T>::add_sender,
                                                  &detail::channel_state<T>::drop_sender> {
 public:
  using value_type = T;
  /// A place for one item, from reserve(): `send(item)` uses it, the destructor gives it back.
  using permit = extend::channel_permit<T>;

  /// Waits for room and moves `item` in. `item` is moved from only on success. May be a part of a
  /// select().
  extend::channel_send_wait<T> send(T&& item, time_limit timeout = forever) noexcept {
    return {this->state(), item, timeout};
  }
  /// The same with a copy.
  extend::channel_send_copy_wait<T> send(
      const T& item, time_limit timeout = forever) requires std::copy_constructible<T> {
    return {this->state(), item, timeout};
  }
  /// Moves `item` in if there is room and no fiber is waiting to send; otherwise, and when the last
  /// receiver has gone, returns false and leaves `item` unchanged. Needs no fiber.
  bool try_send(T&& item) { return this->state().try_push(std::move(item)); }
  bool try_send(const T& item) requires std::copy_constructible<T> {
    return this->state().try_push(item);
  }

  /// Waits for room, in one line with send(), and keeps it: for one item that is made only when
  /// there is a place for it. Returns a `permit`, whose send() uses the place. Aborts if the
  /// channel has no room for any item. May be a part of a select().
  extend::channel_reserve_wait<T> reserve(time_limit timeout = forever) noexcept {
    check_can_reserve();
    return {this->state(), timeout};
  }
  /// A place, if there is one and no fiber is waiting to send. Needs no fiber.
  std::optional<permit> try_reserve() noexcept {
    check_can_reserve();
    std::optional<permit> taken;
    if (this->state().try_reserve()) taken.emplace(this->state());
    return taken;
  }

  /// Whether the last receiver has gone.
  bool is_closed() const noexcept { return this->state().is_closed(); }

 private:
  friend channel_ends<T> channel<T>(std::size_t capacity);
  using channel_sender::channel_end::channel_end;

  void check_can_reserve() const noexcept {
    RINGLET_ASSERT(this->capacity() != 0,
                   "reserve() of a channel with room for 0 items: it has no place to keep");
  }
};

/// Receives from a channel; see channel(). A copy is another receiver; each item goes to one. Using
/// one that was closed or moved from aborts.
///
/// Errors    timed_out. The end of the channel is not an error: receive() returns an empty
///           optional.
/// Cancellation  Loses nothing: no item is taken. Success wins: an item that a fiber was given is
///           returned there, and the fiber is interrupted at the next wait.
/// Lifetime  Must outlive the calls that wait through it; see channel(). items() refers to it.
/// Thread    That of the scheduler whose fibers use it. On other threads its calls abort, and so do
///           copying and destroying it.
/// Memory    See channel().
template <class T>
class channel_receiver : public detail::channel_end<T, &detail::channel_state<T>::add_receiver,
                                                    &detail::channel_state<T>::drop_receiver> {
 public:
  using value_type = T;

  /// Waits for an item and takes it. Returns the item as an optional, which is empty when the last
  /// sender has gone and nothing is left. May be a part of a select().
  extend::channel_receive_wait<T> receive(time_limit timeout = forever) noexcept {
    return {this->state(), timeout};
  }
  /// Takes the first item, if there is one. Needs no fiber.
  std::optional<T> try_receive() noexcept { return this->state().try_pop(); }
  /// Receives each item until the last sender has gone and nothing is left.
  async_generator<T> items() {
    while (std::optional<T> next = co_await receive()) co_yield *std::move(next);
  }

  /// Whether the last sender has gone and nothing is left.
  bool is_at_end() const noexcept { return this->state().is_closed() && this->state().empty(); }

 private:
  friend channel_ends<T> channel<T>(std::size_t capacity);
  using channel_receiver::channel_end::channel_end;
};

/// What channel() returns, for a structured binding: `auto [out, in] = channel<int>(16)`.
///
/// Lifetime  That of its ends.
/// Thread    That of its ends.
template <class T>
struct channel_ends {
  /// The first sender.
  channel_sender<T> sender;
  /// The first receiver.
  channel_receiver<T> receiver;
};

/// Makes a channel with room for `capacity` items, first in, first out. With room for 0 items, each
/// send waits until its item is received.
///
/// End       When the last sender is destroyed, receivers get what is left, and then an empty
///           optional. When the last receiver is destroyed, waiting and later sends fail with
///           errc::closed, and the items that are left are destroyed.
/// Order     Fibers are served in the order in which they came, those that send and those that
///           reserve in one line.
/// Errors    errc::closed for senders; timed_out; std::bad_alloc from a send, which then leaves its
///           item unchanged, and from channel().
/// Cancellation  Nothing is lost or doubled: a cancelled send leaves its item with the caller, a
///           cancelled receive has taken none. Success wins.
/// Lifetime  Ends may go in any order. An end must outlive the calls that wait through it: when the
///           last one of its side goes while a fiber waits there, the program aborts; while an
///           exception unwinds the owner, those waits end with errc::closed instead, and that is
///           reported.
/// Thread    That of the scheduler whose fibers use it. On other threads its calls abort, and so do
///           copying and destroying an end.
/// Memory    One allocation, and blocks of 512 bytes for items; no blocks while empty.
template <class T>
[[nodiscard]] channel_ends<T> channel(std::size_t capacity) {
  auto* const made = new detail::channel_state<T>(capacity);
  return {channel_sender<T>(*made), channel_receiver<T>(*made)};
}

}  // namespace ringlet
