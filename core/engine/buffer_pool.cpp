// Leases buffers and manages the memory behind them.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/sanitizers.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/buffer_pool.hpp>
#include <ringlet/extend/engine.hpp>

#include <sys/mman.h>

#include <array>
#include <cstdio>
#include <new>

namespace ringlet {
using namespace extend;

buffer_pool::buffer_pool(engine& owner, std::uint32_t count, std::uint32_t size)
    : owner_(&owner), thread_(&detail::engine_here), count_(count), size_(size) {
  const std::size_t bytes = std::size_t{count} * size;
  // Mapped, not allocated: pages that were never used cost no memory.
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  try {
    filled_ = std::make_unique<filled[]>(count);
  } catch (...) {
    ::munmap(memory, bytes);
    throw;
  }
  memory_ = static_cast<std::byte*>(memory);
  detail::poison(memory_, bytes);
}

buffer_pool::~buffer_pool() {
  detail::unpoison(memory_, std::size_t{count_} * size_);
  ::munmap(memory_, std::size_t{count_} * size_);
}

buffer buffer_pool::lend(std::int32_t id, const filled& what) noexcept {
  ++on_lease_;
  std::byte* begin = at(id) + what.begin;
  detail::unpoison(begin, what.end - what.begin);
  return buffer(*this, id, begin, what.end - what.begin);
}

void buffer_pool::give_back_unlent(std::int32_t id) noexcept {
  if (owner_ != nullptr) owner_->recycle_buffer(id);
}

std::byte* buffer_pool::allocate_private() {
  return static_cast<std::byte*>(::operator new(size_));
}

buffer buffer_pool::lend_private(std::byte* memory, std::uint32_t bytes) noexcept {
  ++on_lease_;
  return buffer(*this, private_id, memory, bytes);
}

void buffer_pool::free_private(std::byte* memory) noexcept { ::operator delete(memory); }

void buffer_pool::refuse_thread() const noexcept {
  std::array<char, 400> sentence;
  std::snprintf(sentence.data(), sentence.size(),
                "a lent buffer was dropped on a thread other than that of the scheduler that lent "
                "it (%s; this thread runs %s): copy its bytes for the other thread",
                owner_->user().c_str(),
                detail::engine_here == nullptr ? "none" : detail::engine_here->user().c_str());
  RINGLET_ASSERT(false, sentence.data());
}

void buffer_pool::give_back(std::int32_t id, std::byte* memory) noexcept {
  if (thread_ != &detail::engine_here && owner_ != nullptr) [[unlikely]]
    refuse_thread();
  --on_lease_;
  if (id == private_id) {
    free_private(memory);
  } else {
    detail::poison(at(id), size_);
    give_back_unlent(id);
  }
  if (owner_ == nullptr && on_lease_ == 0) delete this;
}

void buffer_pool::abandon() noexcept {
  owner_ = nullptr;
  if (on_lease_ == 0) delete this;
}

void buffer::give_back() noexcept { pool_->give_back(id_, data_); }

}  // namespace ringlet
