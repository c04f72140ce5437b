// The operator new that counts, and fails on request.
// SPDX-License-Identifier: MIT
#include "support/allocations.hpp"

#include <ringlet/detail/frame_pool.hpp>

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

#include "support/sanitized.hpp"

namespace {

thread_local constinit std::size_t count = 0;
thread_local constinit int shortages = 0;
thread_local constinit std::size_t granted = 0;  // despite the shortage

// How many allocations succeed before the one that fails; negative when none fails.
thread_local constinit int before_failure = -1;
thread_local constinit bool has_failed_once = false;

bool is_granted() noexcept {
  if (before_failure >= 0 && before_failure-- == 0) {
    has_failed_once = true;
    return false;
  }
  return shortages == 0 || (granted != 0 && granted-- != 0);
}
bool is_refused() noexcept { return !is_granted(); }

// Of all threads.
constinit std::atomic<std::ptrdiff_t> living_blocks = 0;
constinit std::atomic<std::ptrdiff_t> living_bytes = 0;

}  // namespace

#if !defined(RINGLET_TEST_ADDRESS_SANITIZER) && !defined(RINGLET_TEST_THREAD_SANITIZER)
namespace {

void note(void* memory, std::ptrdiff_t sign) noexcept {
  const auto bytes = static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  living_blocks.fetch_add(sign, std::memory_order_relaxed);
  living_bytes.fetch_add(sign * bytes, std::memory_order_relaxed);
}

}  // namespace

// The other forms of new and delete call these.
void* operator new(std::size_t size) {
  ++count;
  void* const memory = is_granted() ? std::malloc(size != 0 ? size : 1) : nullptr;
  if (memory == nullptr) throw std::bad_alloc();
  note(memory, 1);
  return memory;
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  void* memory = nullptr;
  const bool made =
      is_granted() && ::posix_memalign(&memory, static_cast<std::size_t>(alignment), size) == 0;
  if (!made) throw std::bad_alloc();
  note(memory, 1);
  return memory;
}
void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  note(memory, -1);
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { ::operator delete(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  ::operator delete(memory);
}
#endif

namespace ringlet::test {

std::size_t allocations() noexcept { return count; }

heap_blocks living_heap_blocks() noexcept {
  return {living_blocks.load(std::memory_order_relaxed),
          living_bytes.load(std::memory_order_relaxed)};
}

bool allocations_are_counted() noexcept { return !sanitized; }

out_of_memory::out_of_memory(std::size_t first) noexcept {
  if (allocations_are_counted()) ringlet::detail::frames.set_shortage(&is_refused);
  ++shortages;
  granted = first;
}
out_of_memory::~out_of_memory() {
  if (--shortages == 0) ringlet::detail::frames.set_shortage(nullptr);
  granted = 0;
}

failing_allocation::failing_allocation(int number) noexcept {
  if (allocations_are_counted()) ringlet::detail::frames.set_shortage(&is_refused);
  before_failure = number;
  has_failed_once = false;
}
failing_allocation::~failing_allocation() {
  ringlet::detail::frames.set_shortage(nullptr);
  before_failure = -1;
}
bool failing_allocation::has_failed() const noexcept { return has_failed_once; }

empty_frame_pool::empty_frame_pool(std::size_t size) : size_(size) {
  if (!allocations_are_counted()) return;
  const out_of_memory from_now_on;
  try {
    for (;;) held_ = ::new (ringlet::detail::frames.allocate(size)) block{held_};
  } catch (const std::bad_alloc&) {
  }
}

empty_frame_pool::~empty_frame_pool() {
  while (held_ != nullptr) {
    block* const given = std::exchange(held_, held_->next);
    ringlet::detail::frames.deallocate(given, size_);
  }
}

}  // namespace ringlet::test
