// Counts this test program's calls of operator new, and makes them fail.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace ringlet::test {

/// The calls of this thread so far, without those for the slabs of the frame pool. Sanitizers use
/// their own operator new, and the count stays 0.
std::size_t allocations() noexcept;

/// What operator new has allocated on any thread and operator delete has not freed. Bytes as malloc
/// rounds them.
struct heap_blocks {
  std::ptrdiff_t count;
  std::ptrdiff_t bytes;
};
heap_blocks living_heap_blocks() noexcept;

/// Whether allocations are counted in this build, and can be made to fail.
bool allocations_are_counted() noexcept;

/// During its lifetime operator new throws std::bad_alloc on this thread, and so does the frame
/// pool when the thread has no free block. (Exceptions themselves are allocated elsewhere.) The
/// first `first` allocations succeed.
class out_of_memory {
 public:
  explicit out_of_memory(std::size_t first = 0) noexcept;
  out_of_memory(const out_of_memory&) = delete;
  out_of_memory& operator=(const out_of_memory&) = delete;
  ~out_of_memory();
};

/// During its lifetime the allocation of this thread with that number, counted from 0, fails: by
/// operator new, and by the frame pool where the thread has no free block.
class failing_allocation {
 public:
  explicit failing_allocation(int number) noexcept;
  failing_allocation(const failing_allocation&) = delete;
  failing_allocation& operator=(const failing_allocation&) = delete;
  ~failing_allocation();
  bool has_failed() const noexcept;
};

/// Holds all of this thread's free blocks of that size: the next block has to come from the store
/// of the frame pool.
class empty_frame_pool {
 public:
  explicit empty_frame_pool(std::size_t size);
  empty_frame_pool(const empty_frame_pool&) = delete;
  empty_frame_pool& operator=(const empty_frame_pool&) = delete;
  ~empty_frame_pool();

 private:
  struct block {
    block* next;
  };
  std::size_t size_;
  block* held_ = nullptr;
};

}  // namespace ringlet::test
