// The slow paths of the frame pool: asking the system, and the end of the thread.
#include <ringlet/frame_pool.hpp>

#include <new>

namespace ringlet::detail {

thread_local constinit frame_pool frames;

/// Lives from a thread's first allocation to its end. Kept apart from the pool, because a
/// thread_local with a destructor is guarded at every access.
struct frame_pool_closer {
  frame_pool_closer() noexcept { frames.open_ = true; }
  ~frame_pool_closer() {
    frames.trim();
    frames.open_ = false;
  }
};

void* frame_pool::allocate_slowly(std::size_t size) {
  static thread_local frame_pool_closer closer;
  return ::operator new(size <= pooled_max ? size_of(class_of(size)) : size);
}

void frame_pool::deallocate_slowly(void* memory, std::size_t) noexcept {
  ::operator delete(memory);
}

void frame_pool::trim() noexcept {
  for (std::size_t index = 0; index < classes; ++index) {
    while (block* first = free_[index]) {
      unpoison(first, size_of(index));
      free_[index] = first->next;
      ::operator delete(first);
    }
  }
}

}  // namespace ringlet::detail
