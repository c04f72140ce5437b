// Work that other threads post to an engine, and checks of the memory that operations name.
#include <ringlet/extend/engine.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <thread>

#include "opcode_table.hpp"

namespace ringlet {
using namespace extend;

namespace {

void check_region(void* memory, std::size_t size) noexcept {
  void* const first = detail::first_poisoned(memory, size);
  if (first == nullptr) return;
  detail::describe_address(first);
  RINGLET_ASSERT(
      false,
      "the memory of a read or write may not be used: it was freed, its scope has ended, "
      "or another read fills it; it has to outlive the co_await");
}

void check_message(msghdr* message) noexcept {
  check_region(message, sizeof *message);
  check_region(message->msg_name, message->msg_namelen);
  check_region(message->msg_control, message->msg_controllen);
  check_region(message->msg_iov, message->msg_iovlen * sizeof(iovec));
  for (std::size_t i = 0; i < message->msg_iovlen; ++i) {
    check_region(message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
  }
}

}  // namespace

thread_local constinit engine* detail::engine_here = nullptr;

engine::~engine() {
  RINGLET_ASSERT(!has_posted(), "an engine ended before it had run what was posted");
}

void engine::check_memory(const operation& op) noexcept {
  switch (detail::row_of(op.code).memory) {
    case detail::operation_memory::none:
      return;
    case detail::operation_memory::given:
    case detail::operation_memory::filled:
      return check_region(op.data, op.length);
    case detail::operation_memory::message:
      return check_message(static_cast<msghdr*>(op.data));
  }
}

void engine::wait_for_posters() const noexcept {
  // Each is a few instructions and at most one write(2) from leaving.
  while (posting_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
}

void engine::post(posted_work& work) noexcept {
  posting_.fetch_add(1, std::memory_order_seq_cst);
  work.next = posted_.load(std::memory_order_relaxed);
  while (!posted_.compare_exchange_weak(work.next, &work, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
  }
  // After this point the work may have run and been destroyed: do not touch it.
  if (sleeping_.exchange(false, std::memory_order_seq_cst)) notify();
  posting_.fetch_sub(1, std::memory_order_release);
}

std::size_t engine::run_posted(std::size_t most) noexcept {
  if (unrun_ == nullptr && posted_.load(std::memory_order_relaxed) != nullptr) {
    // The newest work comes first: reverse the list.
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
