// The store behind the frame pools of all threads: maps memory, cuts blocks from it, and returns
// the memory of slabs that have no block in use.
//
// Memory comes in segments of 2 MiB that begin at multiples of their size. A segment has 64 slabs
// of 32 KiB; the first holds the descriptors of the other 63. So a block's address says where the
// descriptor of its slab is, and blocks need no header. A slab serves one class at a time: slabs
// with room are in the list of their class, under its lock. Free slabs are marked in their segment,
// under the lock of the segments, and are reused before a new segment is mapped.
//
// AddressSanitizer must see writes past the end of a frame. So under it, every block is a separate
// allocation, freed as soon as it reaches the store.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/frame_pool.hpp>

#include <cstddef>
#include <cstdint>

namespace ringlet::detail {

/// Any thread, even while static objects are destroyed: those of the store are not. It is intact in
/// a child of fork(), because fork() waits until no other thread is inside.
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

  /// Makes fork() wait until no thread is inside the store. Idempotent. Throws std::bad_alloc.
  static void prepare_for_fork();
};

}  // namespace ringlet::detail
