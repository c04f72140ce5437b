// The store behind the frame pools of all threads: takes slabs from the system, cuts blocks from
// them, and returns slabs when none of their blocks is in use.
//
// Memory comes in segments of 2 MiB that begin at multiples of their size. A segment has 64 slabs
// of 32 KiB; the first holds the descriptors of the other 63. So a block's address says where the
// descriptor of its slab is, and blocks need no header. A slab serves one class at a time: those
// with room are in the list of their class, under its lock. Those that serve none are known to
// their segment, under the lock of the segments, and are used again before a segment is mapped.
//
// AddressSanitizer must see writes past the end of a frame. So with it, every block is an
// allocation of its own, and is freed as soon as it comes to the store.
#pragma once

#include <ringlet/detail/frame_pool.hpp>

#include <cstddef>
#include <cstdint>

namespace ringlet::detail {

/// Any thread, even while static objects are destroyed: the store has none that are. It is intact
/// in the child of a fork(), because a fork waits until no other thread is inside.
class frame_store {
 public:
  using block = frame_pool::block;

  /// Returns free blocks of a class, at least one and at most `wanted`, as a list; sets `count`.
  /// Throws std::bad_alloc.
  static block* take(std::size_t index, std::int32_t wanted, std::int32_t& count);
  /// Returns such a list to the store.
  static void give(std::size_t index, block* first) noexcept;

  /// Returns about `portion` bytes of unused memory to the system, and keeps at least `reserve`
  /// bytes. Returns whether there is more.
  static bool release(std::size_t portion, std::size_t reserve) noexcept;

  static frame_pool::statistics totals() noexcept;

  /// Makes a fork() wait for the store. Once in a process; throws std::bad_alloc.
  static void prepare_for_fork();
};

}  // namespace ringlet::detail
