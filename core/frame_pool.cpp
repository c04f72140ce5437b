// The slow paths of the frame pool: taking from the common store, asking the system, and the end of
// the thread.
#include <ringlet/frame_pool.hpp>

#include <algorithm>
#include <mutex>
#include <new>

namespace ringlet::detail {
namespace {

constexpr std::size_t cache_line = 64;

// How many blocks are made at once.
std::size_t blocks_of_slab([[maybe_unused]] std::size_t block_size) {
#ifdef RINGLET_ASAN
  // One by one, so that the sanitizer sees who writes past the end of a frame.
  return 1;
#else
  constexpr std::size_t slab_size = 16 * 1024;
  return std::max<std::size_t>(1, slab_size / block_size);
#endif
}

}  // namespace

thread_local constinit frame_pool_state frames_here;

/// What threads left behind when they ended.
struct frame_pool::common_store {
  std::mutex mutex;
  block* free[classes] = {};

  /// With the mutex held.
  void put(void* memory, std::size_t index) noexcept {
#ifdef RINGLET_ASAN
    // Every block is an allocation of its own, and the leak check looks for those that are left.
    static_cast<void>(index);
    ::operator delete(memory, std::align_val_t(cache_line));
#else
    free[index] = ::new (memory) block{free[index]};
#endif
  }
};

// Never destroyed: threads may end after main() has returned. What it holds stays reachable.
frame_pool::common_store& frame_pool::store() noexcept {
  static common_store& instance = *new common_store;
  return instance;
}

/// Lives from a thread's first allocation to its end. Kept apart from the pool, because a
/// thread_local with a destructor is guarded at every access.
struct frame_pool_closer {
  frame_pool_closer() noexcept { frames_here.open = true; }
  ~frame_pool_closer() {
    frames_here.open = false;
    frame_pool::hand_over();
  }
};

void frame_pool::refill(std::size_t index) {
  common_store& common = store();
  {
    const std::lock_guard lock(common.mutex);
    if ((frames_here.free[index] = common.free[index]) != nullptr) {
      common.free[index] = nullptr;
      return;
    }
  }
  const std::size_t size = size_of(index);
  const std::size_t count = blocks_of_slab(size);
  auto* slab = static_cast<std::byte*>(::operator new(count* size, std::align_val_t(cache_line)));
  for (std::size_t i = count; i-- > 0;) {  // the first one last, to be handed out in order
    frames_here.free[index] = ::new (slab + i * size) block{frames_here.free[index]};
    poison(frames_here.free[index], size);
  }
}

void* frame_pool::allocate_slowly(std::size_t size) {
  static thread_local frame_pool_closer closer;
  if (size > pooled_max) return ::operator new(size);
  const std::size_t index = class_of(size);
  if (frames_here.open) {
    refill(index);
    return allocate(size);
  }
  // The thread is ending: its last frames are cut from nothing, and end in the common store.
  return ::operator new(size_of(index), std::align_val_t(cache_line));
}

void frame_pool::deallocate_slowly(void* memory, std::size_t size) noexcept {
  if (size > pooled_max) return ::operator delete(memory);
  common_store& common = store();
  const std::lock_guard lock(common.mutex);
  common.put(memory, class_of(size));
}

void frame_pool::hand_over() noexcept {
  common_store& common = store();
  const std::lock_guard lock(common.mutex);
  for (std::size_t index = 0; index < classes; ++index) {
    while (block* first = frames_here.free[index]) {
      unpoison(first, size_of(index));
      frames_here.free[index] = first->next;
      common.put(first, index);
    }
  }
}

}  // namespace ringlet::detail
