// The items of a queue: first in, first out, in blocks from the frame pool. An empty queue has no
// block, and growing moves no items.
#pragma once

#include <ringlet/detail/frame_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace ringlet::detail {

template <class T>
class item_chunks {
 public:
  item_chunks() noexcept = default;
  item_chunks(const item_chunks&) = delete;
  item_chunks& operator=(const item_chunks&) = delete;
  ~item_chunks() {
    while (!empty()) drop_front();
  }

  bool empty() const noexcept { return first_ == nullptr; }
  T& front() noexcept { return *first_->at(front_); }

  /// Throws std::bad_alloc; `item` is then unchanged.
  void push_back(T&& item) {
    if (first_ == nullptr) {
      first_ = last_ = make_chunk();
      front_ = back_ = 0;
    } else if (back_ == per_chunk) {
      last_->next = make_chunk();
      last_ = last_->next;
      back_ = 0;
    }
    std::construct_at(last_->at(back_++), std::move(item));
  }

  /// Precondition: not empty.
  void drop_front() noexcept {
    std::destroy_at(first_->at(front_++));
    const bool was_last = first_ == last_ && front_ == back_;
    if (!was_last && front_ != per_chunk) return;
    chunk* const spent = std::exchange(first_, was_last ? nullptr : first_->next);
    frames.deallocate(spent, sizeof(chunk));
    front_ = 0;
  }

 private:
  static constexpr std::size_t chunk_bytes = 512;
  static constexpr std::size_t per_chunk =
      std::max<std::size_t>(1, (chunk_bytes - sizeof(void*)) / sizeof(T));

  struct chunk {
    chunk* next = nullptr;
    alignas(T) std::byte memory[per_chunk * sizeof(T)];

    T* at(std::size_t index) noexcept { return reinterpret_cast<T*>(memory) + index; }
  };
  static_assert(alignof(T) <= frame_pool::alignment_max,
                "an item of a queue needs an alignment of more than 4096 bytes");

  // No braces or parentheses: they would clear the memory first.
  static chunk* make_chunk() { return ::new (frames.allocate(sizeof(chunk))) chunk; }

  chunk* first_ = nullptr;
  chunk* last_ = nullptr;
  std::uint32_t front_ = 0;  // in the first chunk
  std::uint32_t back_ = 0;   // behind the last item, in the last chunk
};

}  // namespace ringlet::detail
