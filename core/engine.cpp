// Work that other threads post to an engine.
#include <ringlet/engine.hpp>

#include <thread>

namespace ringlet {

thread_local constinit engine* detail::engine_here = nullptr;

engine::~engine() {
  RINGLET_ASSERT(!has_posted(), "an engine ended before it had run what was posted");
}

void engine::wait_for_posters() const noexcept {
  // A few instructions and at most one write(2) away.
  while (posting_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
}

void engine::post(posted_work& work) noexcept {
  posting_.fetch_add(1, std::memory_order_seq_cst);
  work.next = posted_.load(std::memory_order_relaxed);
  while (!posted_.compare_exchange_weak(work.next, &work, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
  }
  // After this point the work may have run and died: touch it no more.
  if (sleeping_.exchange(false, std::memory_order_seq_cst)) ring_bell();
  posting_.fetch_sub(1, std::memory_order_release);
}

std::size_t engine::run_posted(std::size_t most) noexcept {
  if (unrun_ == nullptr && posted_.load(std::memory_order_relaxed) != nullptr) {
    // The last one pushed comes first: turn the list round.
    posted_work* newest = posted_.exchange(nullptr, std::memory_order_acquire);
    while (newest != nullptr) {
      posted_work* before = newest->next;
      newest->next = unrun_;
      unrun_ = newest;
      newest = before;
    }
  }
  std::size_t count = 0;
  for (; count < most && unrun_ != nullptr; ++count) {
    posted_work* current = unrun_;
    unrun_ = current->next;
    current->run(*current);
  }
  return count;
}

}  // namespace ringlet
