// The items of a queue: first in, first out, in blocks from the frame pool. An empty queue has no
// block, and growing moves no items.
//
// A store of a basic_queue has empty(), front() (the item that leaves next), push() and
// drop_front(). If `compares` is true, push() may throw what the caller's comparator throws.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/item_chunk.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace ringlet::detail {

template <class T>
class item_chunks {
 public:
  static constexpr bool compares = false;

  item_chunks() noexcept = default;
  item_chunks(const item_chunks&) = delete;
  item_chunks& operator=(const item_chunks&) = delete;
  ~item_chunks() {
    while (!empty()) drop_front();
  }

  bool empty() const noexcept { return first_ == nullptr; }
  T& front() noexcept { return *first_->at(front_); }

  /// Throws std::bad_alloc; `item` is then unchanged.
  void push(T&& item) {
    if (first_ == nullptr) {
      first_ = last_ = chunk::make();
      front_ = back_ = 0;
    } else if (back_ == chunk::capacity) {
      last_->next = chunk::make();
      last_ = last_->next;
      back_ = 0;
    }
    std::construct_at(last_->at(back_++), std::move(item));
  }

  /// Precondition: not empty.
  void drop_front() noexcept {
    std::destroy_at(first_->at(front_++));
    const bool was_last = first_ == last_ && front_ == back_;
    if (!was_last && front_ != chunk::capacity) return;
    chunk* const spent = std::exchange(first_, was_last ? nullptr : first_->next);
    chunk::free(spent);
    front_ = 0;
  }

 private:
  using chunk = item_chunk<T>;

  chunk* first_ = nullptr;
  chunk* last_ = nullptr;
  std::uint32_t front_ = 0;  // in the first chunk
  std::uint32_t back_ = 0;   // behind the last item, in the last chunk
};

}  // namespace ringlet::detail
