// channel_permit: a place in a channel that is kept for one item.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/channel_state.hpp>
#include <ringlet/extend/assert.hpp>

#include <concepts>
#include <utility>

namespace ringlet::extend {

/// What reserve() of a channel_sender returns. Movable. While there is one, the channel counts it
/// as a sender, so that it may outlive the sender that it came from.
template <class T>
class [[nodiscard]] channel_permit {
 public:
  /// Of a place that was taken. See channel_sender::reserve().
  explicit channel_permit(detail::channel_state<T>& in) noexcept : in_(&in) { in.add_sender(); }
  channel_permit(channel_permit&& other) noexcept : in_(std::exchange(other.in_, nullptr)) {}
  channel_permit& operator=(channel_permit&& other) noexcept {
    channel_permit moved(std::move(other));
    std::swap(in_, moved.in_);
    return *this;
  }
  /// Gives the place back if it was not used: it goes to the fiber that has waited longest.
  ~channel_permit() { give_back(); }

  /// Whether it has a place.
  explicit operator bool() const noexcept { return in_ != nullptr; }
  /// Sends into the place, without waiting, and uses it up. Needs no fiber. Throws errc::closed if
  /// the last receiver has gone, and std::bad_alloc; then `item` is unchanged, and the place kept.
  void send(T&& item) {
    RINGLET_ASSERT(in_ != nullptr, "a permit of a channel was used twice, or was moved away");
    in_->send_reserved(item);
    std::exchange(in_, nullptr)->drop_sender();
  }
  void send(const T& item) requires std::copy_constructible<T> {
    T copy(item);
    send(std::move(copy));
  }
  void give_back() noexcept {
    if (in_ == nullptr) return;
    in_->unreserve();
    std::exchange(in_, nullptr)->drop_sender();
  }

 private:
  detail::channel_state<T>* in_;
};

}  // namespace ringlet::extend
