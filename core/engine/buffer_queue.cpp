// Links filled buffers, and copies across them.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/sanitizers.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/buffer_queue.hpp>

#include <algorithm>
#include <cstring>

namespace ringlet::extend {

void buffer_queue::push(buffer_pool& pool, std::int32_t id, std::uint32_t size) noexcept {
  pool.filled_at(id) = {0, size, 0};
  if (empty()) {
    first_ = static_cast<std::uint16_t>(id);
  } else {
    pool.filled_at(last_).next = id;
  }
  last_ = static_cast<std::uint16_t>(id);
  ++count_;
}

std::int32_t buffer_queue::pop(buffer_pool& pool) noexcept {
  RINGLET_ASSERT(!empty(), "a buffer was taken from an empty queue");
  const std::int32_t id = first_;
  first_ = static_cast<std::uint16_t>(pool.filled_at(id).next);
  --count_;
  return id;
}

std::size_t buffer_queue::copy_to(std::span<std::byte> memory, buffer_pool& pool) noexcept {
  std::size_t copied = 0;
  while (!empty() && copied < memory.size()) {
    buffer_pool::filled& what = pool.filled_at(first_);
    const std::size_t some = std::min<std::size_t>(what.end - what.begin, memory.size() - copied);
    const std::byte* from = pool.at(first_) + what.begin;
    detail::unpoison(from, some);
    std::memcpy(memory.data() + copied, from, some);
    detail::poison(from, some);
    copied += some;
    what.begin += static_cast<std::uint32_t>(some);
    if (what.begin == what.end) pool.give_back_unlent(pop(pool));
  }
  return copied;
}

void buffer_queue::clear(buffer_pool& pool) noexcept {
  while (!empty()) pool.give_back_unlent(pop(pool));
}

}  // namespace ringlet::extend
