// Where coroutine frames and fibers get their memory: free lists of a few sizes, one set per
// thread, and a store shared by all threads.
//
// A block belongs to the thread that frees it, and a thread keeps at most 64 KiB of one size.
// Excess blocks go to the store, many at a time, and from there to any thread that has run out. So
// memory is bounded by what is in use at once, even if one thread makes all frames and another
// destroys them. The store cuts blocks from slabs and finds the slab of a block by its address.
// Unused slabs serve other sizes, and their memory is returned to the system when a scheduler is
// about to sleep (see before_sleep). Blocks have no header.
//
// A block of n bytes begins at a multiple of every power of two that divides n, up to a page. The
// size of a type is a multiple of its alignment. So is the size of a coroutine frame, although no
// compiler reports a frame's alignment to the promise. So everything that fits into a block is
// aligned as required.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/sanitizers.hpp>
#include <ringlet/extend/assert.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

namespace ringlet::detail {

/// Steps of 16 bytes up to 1 KiB, then four steps per doubling up to 32 KiB. g++ lays out frames
/// before it optimises, so frames of several KiB are not rare. Larger ones are left to operator
/// new.
///
/// All functions are static and refer to the thread's state directly. With g++ 12, UBSan reports
/// null pointers for a `this` that points to a thread_local: it takes the zero flag from the
/// addition that computes the address, and ld turns that addition into a lea, which sets no flags.
class frame_pool {
 public:
  static constexpr std::size_t step = 16;
  static constexpr std::size_t fine_max = 1024;
  static constexpr std::size_t pooled_max = 32 * 1024;
  static constexpr std::size_t fine_classes = fine_max / step;
  static constexpr std::size_t classes = fine_classes + 4 * 5;

  /// The most bytes of free blocks of one class that a thread keeps.
  static constexpr std::size_t kept_max = 64 * 1024;
  /// The greatest alignment of a type that lives in a frame or a fiber.
  static constexpr std::size_t alignment_max = 4096;

  /// The free list that serves blocks of `size` bytes, 1 to pooled_max.
  static constexpr std::size_t class_of(std::size_t size) noexcept {
    if (size <= fine_max) return (size + step - 1) / step - 1;
    const auto doubling =
        static_cast<std::size_t>(std::bit_width(size - 1)) - 11;  // 0 for 1,025 to 2,048 bytes
    const std::size_t quarter = (size - 1) >> (doubling + 8);     // 4 to 7
    return fine_classes + doubling * 4 + (quarter - 4);
  }

  /// The size in bytes of a block of class `index`.
  static constexpr std::size_t size_of(std::size_t index) noexcept {
    if (index < fine_classes) return (index + 1) * step;
    const std::size_t coarse = index - fine_classes;
    return (coarse % 4 + 5) << (coarse / 4 + 8);
  }

  /// How many free blocks of class `index` a thread keeps.
  static constexpr std::int32_t kept_of(std::size_t index) noexcept {
    return static_cast<std::int32_t>(kept_max / size_of(index));
  }
  /// The alignment that a block of `size` bytes has at least.
  static constexpr std::size_t alignment_of(std::size_t size) noexcept {
    constexpr std::size_t ordinary = __STDCPP_DEFAULT_NEW_ALIGNMENT__;
    return std::min(std::max(size & (~size + 1), ordinary), alignment_max);
  }

  /// Throws std::bad_alloc.
  static void* allocate(std::size_t size);
  /// From any thread. Needs no memory.
  static void deallocate(void* memory, std::size_t size) noexcept;

  /// Call it before a thread sleeps until `deadline`; returns until when it may sleep. The next
  /// call half a second or more later returns free memory to the system, in portions; between
  /// portions it returns `now`, that is, no sleep. After that it returns `deadline`, until the
  /// thread has given blocks to the store again. Times are those of engine::now().
  static std::int64_t before_sleep(std::int64_t now, std::int64_t deadline) noexcept;

  /// Moves every free block of this thread to the store.
  static void hand_over() noexcept;

  /// The memory that the store has from the system for blocks of up to pooled_max, in bytes.
  struct statistics {
    std::size_t mapped;    // address space
    std::size_t resident;  // of that, in use, kept by threads or not yet returned
    std::size_t taken;     // of that, in use or kept by threads
  };
  static statistics totals() noexcept;

  /// For tests: while `is_short` is set and returns true, allocations from the store or the system
  /// fail.
  static void set_shortage(bool (*is_short)() noexcept) noexcept;

  struct block {
    block* next;
  };

 private:
  friend struct frame_pool_closer;

  static void refill(std::size_t index);
  static void* allocate_slowly(std::size_t size);
  static void deallocate_slowly(void* memory, std::size_t size) noexcept;
  static std::int64_t trim(std::int64_t now, std::int64_t deadline) noexcept;
};

/// The state of one thread.
struct frame_pool_state {
  frame_pool::block* free[frame_pool::classes] = {};
  // How many more blocks fit. Zero before the thread's first allocation and while the thread is
  // ending: then blocks go straight to the store.
  std::int32_t room[frame_pool::classes] = {};
  bool open = false;
  bool has_given = false;      // to the store, since the last trim
  std::int64_t trim_time = 0;  // 0 until the next sleep
};

// Initial-exec costs one instruction instead of a call, also in a shared library; the pool is small
// enough for the static TLS reserve when the library is loaded late.
extern thread_local constinit frame_pool_state frames_here
    __attribute__((tls_model("initial-exec")));

/// The pool of the calling thread.
inline constexpr frame_pool frames;

inline void* frame_pool::allocate(std::size_t size) {
  if (size <= pooled_max) [[likely]] {
    const std::size_t index = class_of(size);
    if (block* first = frames_here.free[index]) [[likely]] {
      unpoison(first, size_of(index));
      frames_here.free[index] = first->next;
      ++frames_here.room[index];
      return first;
    }
  }
  return allocate_slowly(size);
}

inline void frame_pool::deallocate(void* memory, std::size_t size) noexcept {
  if (size <= pooled_max) [[likely]] {
    const std::size_t index = class_of(size);
    if (--frames_here.room[index] >= 0) [[likely]] {
      frames_here.free[index] = ::new (memory) block{frames_here.free[index]};
      poison(memory, size_of(index));
      return;
    }
  }
  deallocate_slowly(memory, size);
}

inline std::int64_t frame_pool::before_sleep(std::int64_t now, std::int64_t deadline) noexcept {
  return frames_here.has_given ? trim(now, deadline) : deadline;
}

/// The base of promises whose coroutine frames come from the pool.
struct pooled_frame {
  static void* operator new(std::size_t size) { return frames.allocate(size); }
  static void operator delete(void* frame, std::size_t size) noexcept {
    frames.deallocate(frame, size);
  }

  /// For the promises of coroutines that await. If a frame has nothing else to begin with, g++ 12
  /// puts conditions that contain a co_await in front of it, 8 bytes before the address that a
  /// handle must have. Resumed through such a handle, the coroutine would hang or crash. Blocks of
  /// the pool, and of operator new, begin at multiples of 16.
  static void check_frame([[maybe_unused]] const void* handle) noexcept {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
    RINGLET_ASSERT(reinterpret_cast<std::uintptr_t>(handle) % 16 == 0,
                   "g++ before 13 made a wrong frame for a coroutine that has no variable and "
                   "awaits only in conditions: name the awaited value first, as in `const bool ok "
                   "= co_await f(); if (ok) ...`");
#endif
  }
};

}  // namespace ringlet::detail
