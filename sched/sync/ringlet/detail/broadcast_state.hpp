// broadcast_state: the ring of a broadcast, and the sending of its items.
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
    if (!has_room()) return false;
    send(item);
    return true;
  }

 private:
  friend class extend::broadcast_send_wait<T>;

  // The item that is overwritten is destroyed last: its destructor may send, too.
  void send(T& item) noexcept {
    std::optional<T>& slot = ring_[slot_of(sent())];
    std::optional<T> overwritten;
    if (slot) overwritten.emplace(std::move(*slot));
    slot.emplace(std::move(item));
    publish();
  }

  void admit() noexcept override {
    while (!senders_.empty() && has_room()) {
      static_cast<extend::broadcast_send_wait<T>&>(senders_.front()).send_and_complete();
    }
  }

  const std::unique_ptr<std::optional<T>[]> ring_;
};

}  // namespace ringlet::detail
