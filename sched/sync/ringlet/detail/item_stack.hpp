// Where a lifo_queue keeps its items: last in, first out, in the blocks of item_chunks. Empty, it
// has none; growing moves nothing.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/item_chunk.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace ringlet::detail {

template <class T>
class item_stack {
 public:
  static constexpr bool compares = false;

  item_stack() noexcept = default;
  item_stack(const item_stack&) = delete;
  item_stack& operator=(const item_stack&) = delete;
  ~item_stack() {
    while (!empty()) drop_front();
  }

  bool empty() const noexcept { return top_ == nullptr; }
  /// The item that was pushed last.
  T& front() noexcept { return *top_->at(used_ - 1); }

  /// Throws std::bad_alloc, and `item` is as it was.
  void push(T&& item) {
    if (top_ == nullptr || used_ == chunk::capacity) {
      chunk* const below = std::exchange(top_, chunk::make());
      top_->next = below;
      used_ = 0;
    }
    std::construct_at(top_->at(used_++), std::move(item));
  }

  /// Precondition: not empty.
  void drop_front() noexcept {
    std::destroy_at(top_->at(--used_));
    if (used_ != 0) return;
    chunk::free(std::exchange(top_, top_->next));
    used_ = chunk::capacity;  // of the block below, if there is one
  }

 private:
  using chunk = item_chunk<T>;

  chunk* top_ = nullptr;    // its `next` is the block below
  std::uint32_t used_ = 0;  // in the top block; not 0 if there is one
};

}  // namespace ringlet::detail
