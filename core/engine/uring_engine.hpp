// The engine on io_uring: one ring, used only by the thread that created it.
//
// A turn of the scheduler makes one io_uring_enter(2), which submits started operations and lets
// the kernel post completions; it makes none if there is nothing to do. What shapes it:
//
//   - With DEFER_TASKRUN, completions appear only in an enter with GETEVENTS. After a real sleep
//     the kernel posts only one, so a second enter follows. There is no loop, because
//     IORING_SQ_TASKRUN, the flag that announces more, can be stale.
//   - A request or cancellation that finds the submission queue full and the kernel out of memory
//     waits in a list and is retried at each wait(). None is ever dropped.
//   - Cancellation is by user_data, which is the operation's address. Requests are issued in order,
//     so a cancellation cannot hit a later operation at the same address. uring_cancels tracks
//     which cancellations must be requested again.
// SPDX-License-Identifier: MIT
#pragma once

#include "kernel_engine.hpp"
#include "uring_cancels.hpp"
#include "uring_constants.hpp"
#include "uring_features.hpp"

namespace ringlet::extend {

class uring_engine final : public kernel_engine {
 public:
  /// Uses at most these features. Throws std::system_error; see make_uring_engine().
  uring_engine(const engine_options& options, const uring_features& features);
  ~uring_engine() override;

  void start(operation& op) noexcept override;
  void cancel(operation& op) noexcept override;
  std::size_t wait(steady_ns deadline, std::span<completion> out) override;
  void recycle_buffer(std::int32_t buffer) noexcept override;
  std::uint32_t buffers_free() const noexcept override { return buffers_free_; }

  /// For tests, which inspect requests and alter their completions.
  io_uring& ring() noexcept { return ring_; }

 private:
  void open_ring(const engine_options& options);
  int try_ring(std::uint32_t submission_entries, std::uint32_t completion_entries) noexcept;
  int try_buffers(std::uint32_t count, std::uint32_t size);
  void drop_buffers() noexcept;
  void close_ring() noexcept;
  std::string describe() const;

  io_uring_sqe* next_entry() noexcept;
  bool submit_one(operation& op) noexcept;
  bool submit_cancel(operation& op) noexcept;
  bool arm_wakeup() noexcept;
  void retry_waiting() noexcept;
  [[gnu::noinline]] void start_unstarted() noexcept;
  unsigned unsubmitted() const noexcept;
  int enter(unsigned min_complete, unsigned flags, steady_ns timeout) noexcept;
  void sleep(steady_ns deadline);
  static bool has_failed(int entered) noexcept;
  static void check(int entered);
  std::size_t reap(std::span<completion> out) noexcept;
  void note(const io_uring_cqe& entry) noexcept;
  bool translate(const io_uring_cqe& entry, completion& out) noexcept;

  uring_features features_;
  io_uring ring_ = {};
  io_uring_buf_ring* buffer_ring_ = nullptr;
  std::uint32_t buffers_free_ = 0;
  unsigned enter_flags_ = 0;
  bool wakeup_armed_ = false;
  intrusive_list<operation> unstarted_;  // no room in the submission queue; oldest first
  uring_cancels cancels_;
};

}  // namespace ringlet::extend
