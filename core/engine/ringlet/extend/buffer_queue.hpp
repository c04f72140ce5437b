// buffer_queue: filled buffers that the program has not taken yet, oldest first.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/buffer_pool.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace ringlet::extend {

/// Links buffers of one pool, through the pool: adding and removing never allocate. Six bytes and
/// no pointer to the pool, because every connection has a queue. Clear it before its destruction.
/// Thread: the pool's.
class buffer_queue {
 public:
  buffer_queue() noexcept = default;
  buffer_queue(const buffer_queue&) = delete;
  buffer_queue& operator=(const buffer_queue&) = delete;
  ~buffer_queue() {
    RINGLET_ASSERT(empty(), "a queue of buffers was destroyed with buffers in it");
  }

  bool empty() const noexcept { return count_ == 0; }
  std::size_t size() const noexcept { return count_; }

  /// Adds the engine's buffer `id`, filled with `size` bytes, which must not be 0.
  void push(buffer_pool& pool, std::int32_t id, std::uint32_t size) noexcept;
  /// Removes the oldest buffer; pool.filled_at() describes what copy_to() has left of it.
  /// Precondition: not empty.
  std::int32_t pop(buffer_pool& pool) noexcept;
  /// Moves the oldest bytes to the front of `memory`, across buffers, and returns emptied buffers
  /// to the pool. Returns the number of bytes.
  std::size_t copy_to(std::span<std::byte> memory, buffer_pool& pool) noexcept;
  /// Returns all buffers to the pool, unread.
  void clear(buffer_pool& pool) noexcept;

 private:
  // A pool has at most 32,768 buffers.
  std::uint16_t first_ = 0;
  std::uint16_t last_ = 0;
  std::uint16_t count_ = 0;
};

}  // namespace ringlet::extend
