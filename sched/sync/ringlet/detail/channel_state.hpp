// channel_state: what the ends of a channel share.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/basic_queue.hpp>
#include <ringlet/detail/item_chunks.hpp>
#include <ringlet/error.hpp>

#include <cstddef>

namespace ringlet::detail {

template <class T>
class placed_items : public item_chunks<T> {
 public:
  static constexpr bool has_places = true;
};

/// A queue that closes itself when one side has no ends left, and deletes itself when both have
/// none. A permit is an end of the sending side.
template <class T>
class channel_state : public basic_queue<T, placed_items<T>> {
  using base = basic_queue<T, placed_items<T>>;

 public:
  using queue_type = base;

  explicit channel_state(std::size_t size_max)
      : base("channel", size_max, base::unlimited, weightless()) {}

  std::size_t capacity() const noexcept { return this->size_max() + this->reserved_; }
  void check() noexcept { this->check_thread(); }

  void add_sender() noexcept {
    check();
    ++senders_;
  }
  void drop_sender() noexcept {
    check();
    if (--senders_ != 0) return;
    this->end_pushers("the last sender of a channel was destroyed while a fiber sent through it");
    if (receivers_ == 0) {
      delete this;
    } else {
      base::close();
    }
  }
  void add_receiver() noexcept {
    check();
    ++receivers_;
  }
  void drop_receiver() noexcept {
    check();
    if (--receivers_ != 0) return;
    this->end_poppers("the last receiver of a channel was destroyed while a fiber waited in it");
    ++senders_;  // an item may be, or own, the last sender
    base::close_now();
    drop_sender();
  }

  bool try_reserve() noexcept {
    check();
    return !this->closed_ && this->pushers_.empty() && this->take_place();
  }
  void unreserve() noexcept {
    check();
    this->give_place_back();
  }
  /// Into a place that is reserved, which it uses up. Throws errc::closed or std::bad_alloc, and
  /// then the place is still reserved and `item` as it was.
  void send_reserved(T& item) {
    check();
    if (this->closed_) throw_error(errc::closed, "send");
    this->add(item, this->weight_of(item));
    this->give_place_back();
  }

 private:
  ~channel_state() = default;

  std::size_t senders_ = 1;
  std::size_t receivers_ = 1;
};

}  // namespace ringlet::detail
