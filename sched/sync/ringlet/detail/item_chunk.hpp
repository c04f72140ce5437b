// A block of memory for items, from the frame pool: what item_chunks and item_stack are made of.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/frame_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <new>

namespace ringlet::detail {

template <class T>
struct item_chunk {
  static constexpr std::size_t bytes = 512;
  static constexpr std::size_t capacity =
      std::max<std::size_t>(1, (bytes - sizeof(void*)) / sizeof(T));
  static_assert(alignof(T) <= frame_pool::alignment_max,
                "an item of a queue asks for an alignment of more than 4096 bytes");

  // Without braces or parentheses, which would clear the memory first. Throws std::bad_alloc.
  static item_chunk* make() { return ::new (frames.allocate(sizeof(item_chunk))) item_chunk; }
  static void free(item_chunk* spent) noexcept { frames.deallocate(spent, sizeof(item_chunk)); }

  T* at(std::size_t index) noexcept { return reinterpret_cast<T*>(memory) + index; }

  item_chunk* next = nullptr;
  alignas(T) std::byte memory[capacity * sizeof(T)];
};

}  // namespace ringlet::detail
