// The engine on epoll(7), for where io_uring is refused. Used by the thread that made it.
//
// epoll tells when a call would not wait; the engine turns that into completions:
//
//   - start() only queues. wait() makes the calls, as io_uring_enter(2) would: what succeeds at
//     once completes in that wait, what would have to wait is parked at its descriptor.
//   - A descriptor is registered once, for everything, edge-triggered. What is known of it between
//     two edges, "a read would wait", "a write would wait", saves the calls that would only say so:
//     a message costs one recv(2), one send(2) and its share of an epoll_wait(2).
//   - That knowledge has to die with the descriptor. So only one that its owner keeps (see
//     engine::register_fd()) stays registered; others are registered while something is parked.
//   - A descriptor that is not kept may be closed by its owner while something is parked, and its
//     number be used again. It is registered once more whenever its number turns up: if the kernel
//     takes that, the earlier file is gone, and what waits for it ends with EBADF.
//   - A single accept is for a listener that others share. It is registered for the time of the
//     accept only, and exclusively: a connection wakes one of the waiters, and no thread that has
//     something else to do.
//   - O_NONBLOCK is a property of what several processes may share. It is set on listeners, for
//     which there is no other way, and on a socket for the time of a connect(2). Everything else
//     is told call by call not to wait.
//   - Regular files are always ready, and their calls wait all the same: they go to the workers.
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
  // What is known of a descriptor, and who waits for it.
  struct slot {
    intrusive_list<operation> parked;  // oldest first
    std::uint32_t waits = 0;           // the events whose calls would wait; while registered
    bool registered = false;
    bool kept = false;
    bool is_tcp = false;
    bool breaks_off = false;  // the peer has ended or sent urgent data, or something is wrong
  };
  static constexpr std::size_t slots_per_page = 512;
  using slot_page = std::array<slot, slots_per_page>;
  struct file_call;  // of a worker

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
  intrusive_list<operation> started_;  // to be tried in this wait, or the next
  intrusive_list<operation> again_;    // had something, and may have more: in the next wait
  intrusive_list<operation> later_;    // nothing tells when: every now and then
  intrusive_list<file_call, epoll_engine> calls_;     // that workers have
  intrusive_list<file_call, epoll_engine> answered_;  // and those that are done
  std::int32_t free_buffer_ = completion::no_buffer;  // the latest; each names the one before
  std::uint32_t buffers_free_ = 0;
  std::size_t accepts_left_ = 0;  // in this wait
  bool just_polled_ = false;
  bool has_exact_sleep_ = true;  // epoll_pwait2(2), Linux 5.11
};

}  // namespace ringlet::extend
