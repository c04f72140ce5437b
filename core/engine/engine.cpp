// Work that other threads post to an engine, and checks of the memory that operations name.
// SPDX-License-Identifier: MIT
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

// Those that it waits for are a few instructions and at most one write(2) from leaving.
void detail::real_atomics::yield() noexcept { std::this_thread::yield(); }

void engine::post(posted_work& work) noexcept {
  mailbox_.post(work, [this]() noexcept { notify(); });
}

std::size_t engine::run_posted(std::size_t most) noexcept {
  if (unrun_ == nullptr && mailbox_.has_posted()) unrun_ = mailbox_.take();
  std::size_t count = 0;
  for (; count < most && unrun_ != nullptr; ++count) {
    posted_work* current = unrun_;
    unrun_ = current->next;
    ++statistics_.posts;
    current->run(*current);
  }
  return count;
}

}  // namespace ringlet
