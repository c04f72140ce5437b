// Where coroutine frames and fibers get their memory: free lists of a few sizes, one set per
// thread.
//
// A block belongs to the thread that frees it, so nothing here is shared or locked. When a thread
// ends, its free blocks go to a common store, from which other threads take before they ask the
// system. So a process keeps the most that was ever in use.
//
// Small blocks are cut from slabs that begin at a cache line: those whose size is a multiple of 64
// bytes never straddle one more line than they must.
#pragma once

#include <ringlet/assert.hpp>
#include <ringlet/detail/sanitizers.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

namespace ringlet::detail {

/// Steps of 32 bytes up to 1 KiB, then four steps per doubling up to 32 KiB. Frames are laid out by
/// g++ before it optimises, so frames of several KiB are not rare; what is larger still is left to
/// operator new.
///
/// All functions are static and name the thread's state itself. Through a `this` that points to a
/// thread_local UBSan reports null pointers with g++ 12: it takes the zero flag from the addition
/// that makes the address, and ld turns that addition into a lea, which sets no flags.
class frame_pool {
 public:
  static constexpr std::size_t step = 32;
  static constexpr std::size_t fine_max = 1024;
  static constexpr std::size_t pooled_max = 32 * 1024;
  static constexpr std::size_t fine_classes = fine_max / step;
  static constexpr std::size_t classes = fine_classes + 4 * 5;

  /// The free list that serves blocks of `size` bytes, 1 to pooled_max.
  static constexpr std::size_t class_of(std::size_t size) noexcept {
    if (size <= fine_max) return (size + step - 1) / step - 1;
    const auto doubling =
        static_cast<std::size_t>(std::bit_width(size - 1)) - 11;  // 0 for 1,025 to 2,048 bytes
    const std::size_t quarter = (size - 1) >> (doubling + 8);     // 4 to 7
    return fine_classes + doubling * 4 + (quarter - 4);
  }

  /// How many bytes a block of that class has.
  static constexpr std::size_t size_of(std::size_t index) noexcept {
    if (index < fine_classes) return (index + 1) * step;
    const std::size_t coarse = index - fine_classes;
    return (coarse % 4 + 5) << (coarse / 4 + 8);
  }

  static void* allocate(std::size_t size);
  static void deallocate(void* memory, std::size_t size) noexcept;

  /// Moves every free block of this thread to the common store.
  static void hand_over() noexcept;

 private:
  struct block {
    block* next;
  };
  friend struct frame_pool_closer;
  friend struct frame_pool_state;

  struct common_store;
  static common_store& store() noexcept;
  static void refill(std::size_t index);
  static void* allocate_slowly(std::size_t size);
  static void deallocate_slowly(void* memory, std::size_t size) noexcept;
};

/// What a thread has.
struct frame_pool_state {
  // False before the thread's first allocation and again once the thread is ending: then blocks
  // go straight to the common store.
  bool open = false;
  frame_pool::block* free[frame_pool::classes] = {};
};

// Initial-exec costs one instruction instead of a call, also in a shared library; the pool is small
// enough for the static TLS reserve when the library is loaded late.
extern thread_local constinit frame_pool_state frames_here
    __attribute__((tls_model("initial-exec")));

/// The pool of the thread that calls.
inline constexpr frame_pool frames;

inline void* frame_pool::allocate(std::size_t size) {
  if (size <= pooled_max) [[likely]] {
    const std::size_t index = class_of(size);
    if (block* first = frames_here.free[index]) [[likely]] {
      unpoison(first, size_of(index));
      frames_here.free[index] = first->next;
      return first;
    }
  }
  return allocate_slowly(size);
}

inline void frame_pool::deallocate(void* memory, std::size_t size) noexcept {
  if (size <= pooled_max && frames_here.open) [[likely]] {
    const std::size_t index = class_of(size);
    frames_here.free[index] = ::new (memory) block{frames_here.free[index]};
    poison(memory, size_of(index));
    return;
  }
  deallocate_slowly(memory, size);
}

/// The base of promises whose coroutine frames come from the pool.
struct pooled_frame {
  static void* operator new(std::size_t size) { return frames.allocate(size); }
  static void operator delete(void* frame, std::size_t size) noexcept {
    frames.deallocate(frame, size);
  }

  /// For the promises of coroutines that await. g++ 12 puts the conditions that contain a co_await
  /// in front of a frame which has nothing else to begin with, 8 bytes before where a handle has to
  /// point: resumed through it, the coroutine would hang or crash. Blocks of the pool, and of
  /// operator new, begin at multiples of 16.
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
