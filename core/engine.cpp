// Work that other threads post to an engine.
#include <ringlet/engine.hpp>

#include <thread>

namespace ringlet {

thread_local constinit engine* detail::engine_here = nullptr;

engine::~engine() {
  RINGLET_ASSERT(posted_.load() == nullptr, "an engine ended before it had run what was posted");
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

std::size_t engine::run_posted() noexcept {
  if (posted_.load(std::memory_order_relaxed) == nullptr) return 0;
  // The last one pushed comes first: turn the list round.
  posted_work* newest = posted_.exchange(nullptr, std::memory_order_acquire);
  posted_work* oldest = nullptr;
  while (newest != nullptr) {
    posted_work* before = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = before;
  }
  std::size_t count = 0;
  while (oldest != nullptr) {
    posted_work* current = oldest;
    oldest = oldest->next;
    current->run(*current);
    ++count;
  }
  return count;
}

}  // namespace ringlet
