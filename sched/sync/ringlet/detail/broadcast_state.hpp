// broadcast_state: the ring of a broadcast, and the sending of its items.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/broadcast_base.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace ringlet::extend {

template <class T>
class broadcast_send_wait;

}  // namespace ringlet::extend

namespace ringlet::detail {

template <class T>
class broadcast_state final : public broadcast_base {
 public:
  broadcast_state(std::size_t capacity, lag_policy policy)
      : broadcast_base(capacity, policy), ring_(std::make_unique<std::optional<T>[]>(capacity)) {}

  /// Precondition: it was sent, and is retained.
  const T& item(std::uint64_t number) const noexcept { return *ring_[slot_of(number)]; }

  /// Sends the item and leaves it moved from; false if there is no room.
  bool put(T& item) noexcept {
    check_thread();
    std::optional<T> overwritten;
    if (!make_room(overwritten)) return false;
    send(item);
    return true;
  }

 private:
  friend class extend::broadcast_send_wait<T>;

  // Empties the slot of the next item; false if there is no room for one. The item that was there
  // is destroyed last, by the caller. Its destructor may send, too, and so may that of the object
  // it is moved from: then the next slot is the next item's.
  bool make_room(std::optional<T>& overwritten) noexcept {
    while (has_room()) {
      std::optional<T>& slot = ring_[slot_of(sent())];
      if (!slot) return true;
      if (overwritten) {
        overwritten.reset();
        continue;
      }
      overwritten.emplace(std::move(*slot));
      slot.reset();
    }
    return false;
  }
  // Precondition: make_room() has returned true, and nothing was sent since.
  void send(T& item) noexcept {
    ring_[slot_of(sent())].emplace(std::move(item));
    publish();
  }

  void admit() noexcept override {
    while (!senders_.empty()) {
      std::optional<T> overwritten;
      if (!make_room(overwritten)) return;
      if (senders_.empty()) return;  // a destructor has ended the wait
      static_cast<extend::broadcast_send_wait<T>&>(senders_.front()).send_and_complete();
    }
  }

  const std::unique_ptr<std::optional<T>[]> ring_;
};

}  // namespace ringlet::detail
