// The engine on epoll(7), for systems that refuse io_uring. Thread: the one that created it.
//
// epoll reports when a call would not wait; the engine turns that into completions:
//
//   - start() only queues. wait() makes the calls, as io_uring_enter(2) would: an operation whose
//     call succeeds immediately completes in that wait; one that would wait is parked at its
//     descriptor.
//   - A descriptor is added to the epoll set once, for all events, edge-triggered. Between two
//     edges the engine remembers that a read or a write would wait, and skips calls that would only
//     return EAGAIN: a message costs one recv(2), one send(2) and its share of an epoll_wait(2).
//   - What the engine remembers must not outlive the descriptor. So only a descriptor registered by
//     engine::register_fd() stays in the set; any other is in it only while an operation is parked.
//   - The owner of any other descriptor may close it while an operation is parked, and its number
//     may be reused. The engine therefore adds the descriptor again whenever its number turns up:
//     if the kernel accepts that, the earlier file is gone, and the operations parked there end
//     with EBADF.
//   - A single-shot accept is for a listener that several threads or processes share. The listener
//     is in the set only during the accept, with EPOLLEXCLUSIVE: a connection wakes one of the
//     waiting threads, and none that is busy with something else.
//   - O_NONBLOCK belongs to the open file, which several processes may share. The engine sets it
//     only on listeners, where there is no other way, and on a socket during connect(2). All other
//     calls pass a flag that asks not to wait, or are made after poll(2) where there is no such
//     flag.
//   - Regular files always count as ready, yet their calls may wait for the disk: workers make
//     those.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/intrusive_list.hpp>
#include <ringlet/unique_fd.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernel_engine.hpp"

struct epoll_event;

namespace ringlet::extend {

class epoll_engine final : public kernel_engine {
 public:
  /// See make_epoll_engine().
  explicit epoll_engine(const engine_options& options);
  ~epoll_engine() override;

  void start(operation& op) noexcept override;
  void cancel(operation& op) noexcept override;
  std::int32_t call(operation& op) noexcept override;
  std::size_t wait(steady_ns deadline, std::span<completion> out) override;
  void register_fd(int fd) noexcept override;
  void unregister_fd(int fd) noexcept override;
  void recycle_buffer(std::int32_t buffer) noexcept override;
  std::uint32_t buffers_free() const noexcept override { return buffers_free_; }

 private:
  // What the engine knows about a descriptor, and the operations that wait for it.
  struct slot {
    intrusive_list<operation> parked;  // oldest first
    std::uint32_t waits = 0;           // events whose calls would wait; valid while registered
    bool registered = false;           // in the epoll set
    bool kept = false;                 // by register_fd()
    bool is_tcp = false;
    bool breaks_off = false;  // end of stream, urgent data or an error was reported
  };
  static constexpr std::size_t slots_per_page = 512;
  using slot_page = std::array<slot, slots_per_page>;
  struct file_call;  // made by a worker

  static std::uint32_t events_of(const operation& op) noexcept;
  static bool is_limited(const operation& op) noexcept {
    return op.code == opcode::receive && op.receive.limit != 0;
  }
  std::uint32_t expected_count(const operation& op) const noexcept;
  static bool must_wait(const operation& op, std::int32_t result) noexcept;

  slot* find_slot(int fd) noexcept;
  slot* slot_of(int fd) noexcept;
  int enlist(slot& at, const operation& op) noexcept;
  int enlist(slot& at, int fd, std::uint32_t events) noexcept;
  void disown(slot& at) noexcept;
  void delist(slot& at, int fd) noexcept;
  bool would_wait(const slot* at, const operation& op) const noexcept;
  void learn(slot* at, const operation& op, std::int32_t result) noexcept;

  std::size_t take_answers(std::span<completion> out) noexcept;
  std::size_t try_started(std::span<completion> out) noexcept;
  std::size_t try_one(operation& op, completion& done) noexcept;
  std::int32_t call_unless_it_waits(operation& op, slot* at, completion& done) noexcept;
  std::int32_t receive(operation& op, completion& done) noexcept;
  static std::int32_t receive_into(const operation& op, std::span<std::byte> memory) noexcept;
  std::int32_t put_aside(operation& op, std::int32_t result) noexcept;
  std::int32_t park(operation& op) noexcept;
  std::int32_t hand_to_worker(operation& op) noexcept;
  void go_on(operation& op, slot* at, std::int32_t result, completion& done) noexcept;
  void complete(operation& op, slot* at, std::int32_t result, completion& done) noexcept;

  void poll(steady_ns deadline);
  int poll_kernel(steady_ns timeout, std::span<epoll_event> events) noexcept;
  void on_event(int fd, std::uint32_t events) noexcept;

  unique_fd poller_;
  std::vector<std::unique_ptr<slot_page>> pages_;
  intrusive_list<operation> started_;  // tried in this wait() or the next
  intrusive_list<operation> again_;    // completed, may have more: in the next wait()
  intrusive_list<operation> later_;    // epoll reports nothing for them: after each poll()
  intrusive_list<file_call, epoll_engine> calls_;     // given to workers
  intrusive_list<file_call, epoll_engine> answered_;  // answered by them
  std::int32_t free_buffer_ = completion::no_buffer;  // head of the free list
  std::uint32_t buffers_free_ = 0;
  std::size_t repeats_left_ = 0;  // of accepts and datagrams, in this wait()
  bool just_polled_ = false;
  bool has_exact_sleep_ = true;  // epoll_pwait2(2), Linux 5.11
};

}  // namespace ringlet::extend
