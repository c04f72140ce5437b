// buffer_pool: the memory behind all buffers of one engine, and the count of those on lease.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace ringlet::extend {

class engine;

/// A fixed number of equal buffers, numbered from 0. The engine tracks which buffers are free; the
/// pool knows their addresses and how many are on lease. The pool lives until the last lease has
/// ended, so a lease may outlive its engine.
/// Thread: the engine's; a lease that ends on another thread aborts. After the engine has ended:
/// any thread, one at a time.
class buffer_pool {
 public:
  /// The id of buffers that were allocated because the pool was empty.
  static constexpr std::int32_t private_id = -1;

  /// Maps `count` buffers of `size` bytes; the system backs those that are touched with memory.
  /// Throws std::bad_alloc.
  buffer_pool(engine& owner, std::uint32_t count, std::uint32_t size);
  buffer_pool(const buffer_pool&) = delete;
  buffer_pool& operator=(const buffer_pool&) = delete;

  std::uint32_t count() const noexcept { return count_; }
  std::uint32_t size() const noexcept { return size_; }
  std::byte* at(std::int32_t id) const noexcept {
    return memory_ + static_cast<std::size_t>(id) * size_;
  }
  std::uint32_t on_lease() const noexcept { return on_lease_; }

  /// What a buffer_queue keeps of a filled buffer.
  struct filled {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    std::int32_t next = 0;
  };
  filled& filled_at(std::int32_t id) noexcept { return filled_[static_cast<std::size_t>(id)]; }

  /// Counts connections that receive in bulk. While half of the pool suffices, a request of each
  /// may fill 4 buffers: fewer would cost more than requests for single buffers, and more would
  /// delay a small message behind ten such connections. Otherwise the share is 0, and each buffer
  /// gets its own request.
  void join_bulk() noexcept { ++in_bulk_; }
  void leave_bulk() noexcept { --in_bulk_; }
  std::uint32_t bulk_share() const noexcept {
    constexpr std::uint32_t share = 4;
    return share * in_bulk_ <= count_ / 2 ? share : 0;
  }

  /// Turns the engine's buffer `id` into a lease of its first `size` bytes, or of the bytes that a
  /// buffer_queue has left in it.
  buffer lend(std::int32_t id, std::uint32_t size) noexcept { return lend(id, {0, size, 0}); }
  buffer lend_filled(std::int32_t id) noexcept { return lend(id, filled_at(id)); }
  /// Returns a buffer that was filled and never lent.
  void give_back_unlent(std::int32_t id) noexcept;

  /// A lease of newly allocated memory of size() bytes, for when the pool is empty, which is
  /// normal. Throws std::bad_alloc.
  std::byte* allocate_private();
  buffer lend_private(std::byte* memory, std::uint32_t bytes) noexcept;
  void free_private(std::byte* memory) noexcept;

  /// Ends a lease; called by the buffer.
  void give_back(std::int32_t id, std::byte* memory) noexcept;
  /// Called when the engine ends. The pool ends with the engine or with the last lease.
  void abandon() noexcept;

 private:
  ~buffer_pool();
  [[noreturn, gnu::cold]] void refuse_thread() const noexcept;
  buffer lend(std::int32_t id, const filled& what) noexcept;

  engine* owner_;
  engine** thread_;  // detail::engine_here of the engine's thread
  std::byte* memory_;
  std::unique_ptr<filled[]> filled_;
  std::uint32_t count_;
  std::uint32_t size_;
  std::uint32_t on_lease_ = 0;
  std::uint32_t in_bulk_ = 0;
};

}  // namespace ringlet::extend
