// The source of each amount. Mappings are counted by our own mmap() and munmap(): those of malloc,
// of threads and of liburing do not call them.
// SPDX-License-Identifier: MIT
#include "support/holdings.hpp"

#include <ringlet/detail/frame_pool.hpp>

#include <dirent.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "support/allocations.hpp"
#include "support/sanitized.hpp"

namespace {

using ringlet::detail::frame_pool;

constinit std::atomic<std::ptrdiff_t> mapped = 0;

std::ptrdiff_t frames_kept_here() noexcept {
  const auto& here = ringlet::detail::frames_here;
  if (!here.open) return 0;
  std::size_t bytes = 0;
  for (std::size_t index = 0; index < frame_pool::classes; ++index) {
    const auto kept = static_cast<std::size_t>(frame_pool::kept_of(index) - here.room[index]);
    bytes += kept * frame_pool::size_of(index);
  }
  return static_cast<std::ptrdiff_t>(bytes);
}

std::ptrdiff_t open_descriptors() noexcept {
  DIR* const all = ::opendir("/proc/self/fd");
  if (all == nullptr) return 0;
  std::ptrdiff_t count = 0;
  while (::readdir(all) != nullptr) ++count;
  ::closedir(all);
  return count;
}

}  // namespace

#if !defined(RINGLET_TEST_ADDRESS_SANITIZER) && !defined(RINGLET_TEST_THREAD_SANITIZER)
extern "C" void* mmap(void* wanted, std::size_t bytes, int protection, int flags, int fd,
                      off_t offset) noexcept {
  const long made = ::syscall(SYS_mmap, wanted, bytes, protection, flags, fd, offset);
  if (made != -1) mapped.fetch_add(static_cast<std::ptrdiff_t>(bytes));
  return reinterpret_cast<void*>(made);  // NOLINT(performance-no-int-to-ptr)
}
extern "C" int munmap(void* memory, std::size_t bytes) noexcept {
  const long failed = ::syscall(SYS_munmap, memory, bytes);
  if (failed == 0) mapped.fetch_sub(static_cast<std::ptrdiff_t>(bytes));
  return static_cast<int>(failed);
}
#endif

namespace ringlet::test {

holdings held_now() noexcept {
  const heap_blocks heap = living_heap_blocks();
  const frame_pool::statistics frames = frame_pool::totals();
  return {heap.count, heap.bytes, static_cast<std::ptrdiff_t>(frames.taken) - frames_kept_here(),
          mapped.load() - static_cast<std::ptrdiff_t>(frames.mapped), open_descriptors()};
}

}  // namespace ringlet::test
