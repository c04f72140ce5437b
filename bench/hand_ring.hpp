// Shared by the hand-written liburing servers: the ring with its flags, the turn of the loop, a
// ring of receive buffers, and accepting. The choices were measured; see echo_limit.cpp.
//
// Not an abstraction of io_uring: servers prepare their own requests and handle raw completions.
// This is only the code that would be identical in each.
// SPDX-License-Identifier: MIT
#pragma once

#include <liburing.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "server_main.hpp"

namespace bench {

/// A ring with `BufferCount` (a power of two) buffers of `BufferSize` bytes for receiving. They are
/// constants because every message computes the address of a buffer.
template <std::uint16_t BufferCount, std::size_t BufferSize>
class hand_ring {
 public:
  hand_ring(unsigned submission_entries, unsigned completion_entries) {
    make_ring(submission_entries, completion_entries);
    make_buffers();
  }

  // --- The turn ----------------------------------------------------------------------------------

  /// Submits the queued requests, and waits for a completion unless there is one already.
  void submit_and_wait() { enter(::io_uring_cq_ready(&ring_) > 0 ? 0 : 1, IORING_ENTER_GETEVENTS); }

  /// Calls `handle` with each available completion, at most `most`.
  template <class Handler>
  void for_each_completion(unsigned most, Handler&& handle) {
    const unsigned count = std::min(::io_uring_cq_ready(&ring_), most);
    const unsigned head = *ring_.cq.khead;
    for (unsigned index = 0; index < count; ++index) {
      handle(ring_.cq.cqes[(head + index) & *ring_.cq.kring_mask]);
    }
    ::io_uring_cq_advance(&ring_, count);
  }

  /// The next free entry. Its user_data is set; liburing's prep functions do not change it.
  io_uring_sqe* queue(std::uint64_t user_data) {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    while (entry == nullptr) {
      enter(0, 0);
      entry = ::io_uring_get_sqe(&ring_);
    }
    entry->user_data = user_data;
    return entry;
  }

  // --- Accepting ---------------------------------------------------------------------------------

  void arm_accept(int listener, std::uint64_t user_data) {
    ::io_uring_prep_multishot_accept(queue(user_data), listener, nullptr, nullptr, SOCK_CLOEXEC);
  }

  /// Call after each completion of the accept. If it was the last one, arms the accept again, or
  /// pauses if descriptors or memory ran out: a completion with `pause_data` ends the pause.
  void accept_again(int listener, const io_uring_cqe& last, std::uint64_t pause_data) {
    if ((last.flags & IORING_CQE_F_MORE) != 0) return;
    if (last.res < 0 && is_listener_broken(-last.res)) fail("accept", -last.res);
    if (last.res >= 0 || !is_out_of_resources(-last.res)) {
      return arm_accept(listener, last.user_data);
    }
    static __kernel_timespec pause{0, accept_pause_ms * 1'000'000LL};
    ::io_uring_prep_timeout(queue(pause_data), &pause, 0, 0);
  }

  // --- Buffers -----------------------------------------------------------------------------------

  /// A receive that repeats until an error or the end of the stream, into buffers of the ring.
  void arm_receive(int fd, std::uint64_t user_data) {
    io_uring_sqe* entry = queue(user_data);
    ::io_uring_prep_recv_multishot(entry, fd, nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
  }

  static bool has_buffer(unsigned completion_flags) {
    return (completion_flags & IORING_CQE_F_BUFFER) != 0;
  }
  static std::uint16_t buffer_index(unsigned completion_flags) {
    return static_cast<std::uint16_t>(completion_flags >> IORING_CQE_BUFFER_SHIFT);
  }
  char* buffer(std::uint16_t index) const { return buffers_ + index * BufferSize; }

  /// Returns a buffer to the ring. The kernel sees it at the next turn.
  void recycle(std::uint16_t index) {
    ::io_uring_buf_ring_add(buffer_ring_, buffer(index), BufferSize, index,
                            ::io_uring_buf_ring_mask(BufferCount), static_cast<int>(recycled_));
    ++recycled_;
  }

  /// Whether an error ends only the receive or send, and not the connection.
  static bool is_passing(int error) {
    return error == ENOBUFS || error == ECANCELED || error == EAGAIN || error == EINTR;
  }

 private:
  // Newer than liburing 2.3. Without it a thread asleep in its ring counts as waiting for I/O.
  static constexpr unsigned enter_no_iowait = 1U << 7;
  static constexpr unsigned feature_no_iowait = 1U << 17;

  void make_ring(unsigned submission_entries, unsigned completion_entries) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL |
                       IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                       IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    parameters.cq_entries = completion_entries;
    const int made = ::io_uring_queue_init_params(submission_entries, &ring_, &parameters);
    if (made < 0) fail("cannot make an io_uring (Linux 6.1 or newer, permitted?)", -made);
    if (::io_uring_register_ring_fd(&ring_) == 1) {
      enter_flags_ |= IORING_ENTER_REGISTERED_RING;
    }
    if ((parameters.features & feature_no_iowait) != 0) enter_flags_ |= enter_no_iowait;
  }

  static void* map(std::size_t size) {
    void* memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("cannot map memory for buffers", errno);
    return memory;
  }

  void make_buffers() {
    buffers_ = static_cast<char*>(map(BufferCount * BufferSize));
    buffer_ring_ = static_cast<io_uring_buf_ring*>(map(BufferCount * sizeof(io_uring_buf)));
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uint64_t>(buffer_ring_);
    registration.ring_entries = BufferCount;
    const int registered = ::io_uring_register_buf_ring(&ring_, &registration, 0);
    if (registered < 0) fail("cannot register a buffer ring", -registered);
    ::io_uring_buf_ring_init(buffer_ring_);
    for (std::uint16_t index = 0; index < BufferCount; ++index) recycle(index);
  }

  // Publishes and submits the queued requests, and runs the task work that produces completions. A
  // direct system call because liburing 2.3 cannot pass these flags. The number of entries taken
  // can be ignored: the rest stay between head and tail, and are submitted at the next turn.
  void enter(unsigned least_completions, unsigned flags) {
    if (recycled_ > 0) ::io_uring_buf_ring_advance(buffer_ring_, static_cast<int>(recycled_));
    recycled_ = 0;
    ring_.sq.sqe_head = ring_.sq.sqe_tail;
    io_uring_smp_store_release(ring_.sq.ktail, ring_.sq.sqe_tail);
    const unsigned queued = ring_.sq.sqe_tail - *ring_.sq.khead;
    const long result = ::syscall(__NR_io_uring_enter, ring_.enter_ring_fd, queued,
                                  least_completions, flags | enter_flags_, nullptr, 0);
    if (result < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY) {
      fail("io_uring_enter", errno);
    }
  }

  unsigned enter_flags_ = 0;
  unsigned recycled_ = 0;
  char* buffers_ = nullptr;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  io_uring ring_{};
};

}  // namespace bench
