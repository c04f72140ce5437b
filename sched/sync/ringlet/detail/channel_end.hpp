// channel_end: what the senders and the receivers of a channel have in common.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/channel_state.hpp>
#include <ringlet/extend/assert.hpp>

#include <cstddef>
#include <utility>

namespace ringlet::detail {

/// The functions given count the ends of one side.
template <class T, void (channel_state<T>::*Add)() noexcept,
          void (channel_state<T>::*Drop)() noexcept>
class channel_end {
 public:
  channel_end(const channel_end& other) noexcept : of_(other.of_) {
    if (of_ != nullptr) (of_->*Add)();
  }
  channel_end(channel_end&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
  channel_end& operator=(channel_end other) noexcept {
    std::swap(of_, other.of_);
    return *this;
  }
  ~channel_end() { close(); }

  /// Gives this end up, as its destructor does. Idempotent.
  void close() noexcept {
    if (of_ != nullptr) (std::exchange(of_, nullptr)->*Drop)();
  }
  /// Whether it is an end: not moved from, nor closed.
  explicit operator bool() const noexcept { return of_ != nullptr; }

  /// The number of items in the channel, the most that there is room for, and the most so far.
  std::size_t size() const noexcept { return state().size(); }
  std::size_t capacity() const noexcept { return state().capacity(); }
  std::size_t peak() const noexcept { return state().peak(); }
  /// How many fibers wait to send or to reserve, and how many to receive.
  std::size_t waiting_to_send() const noexcept { return state().waiting_to_push(); }
  std::size_t waiting_to_receive() const noexcept { return state().waiting_to_pop(); }

 protected:
  explicit channel_end(channel_state<T>& of) noexcept : of_(&of) {}

  channel_state<T>& state() const noexcept {
    RINGLET_ASSERT(of_ != nullptr, "an end of a channel was used that was closed or moved away");
    return *of_;
  }

 private:
  channel_state<T>* of_;
};

}  // namespace ringlet::detail
