// The engine on io_uring: one ring, used by the thread that made it.
//
// A turn of the scheduler makes one io_uring_enter(2), which submits what was started and reaps
// what has completed, or none when there is nothing to do. What shapes it:
//
//   - With DEFER_TASKRUN completions appear only in an enter with GETEVENTS. After a real sleep the
//     kernel hands out a single one, so one more pass follows a sleep. It is one and no loop,
//     because IORING_SQ_TASKRUN, the flag that promises more, can be stale.
//   - A request that finds the submission queue full and the kernel out of memory waits in a list
//     and is tried again at each wait; so does a cancellation. Nothing is ever dropped.
//   - Cancellation is by user_data, which is the operation's address. Requests are issued in order,
//     so a cancellation cannot hit a later operation at the same address. The kernel may fail to
//     find an operation that it is just moving between two queues: it is then asked again, once all
//     completions have been taken out and the operation is not among them. A worker thread of the
//     kernel that was told to stop may be just about to hand the operation over to a poll, which
//     nobody then ends: if it is still not over after a while, the kernel is asked again, too.
#pragma once

#include "kernel_engine.hpp"
#include "uring_constants.hpp"
#include "uring_features.hpp"

namespace ringlet {

class uring_engine final : public kernel_engine {
 public:
  /// Throws std::system_error; see make_uring_engine(). Makes use of no more than these features.
  uring_engine(const engine_options& options, const uring_features& features);
  ~uring_engine() override;

  void start(operation& op) noexcept override;
  void cancel(operation& op) noexcept override;
  std::size_t wait(steady_ns until, std::span<completion> out) override;
  void give_back(std::int32_t buffer) noexcept override;
  std::uint32_t buffers_free() const noexcept override { return buffers_free_; }

 private:
  // How long a worker thread that was told to stop is given to do so, first and at most.
  static constexpr steady_ns patience_min = nanoseconds_per_second / 1000;
  static constexpr steady_ns patience_max = nanoseconds_per_second / 8;

  void open_ring(const engine_options& options);
  int try_ring(std::uint32_t submission_entries, std::uint32_t completion_entries) noexcept;
  int try_buffers(std::uint32_t count, std::uint32_t size);
  void drop_buffers() noexcept;
  void close_ring() noexcept;
  std::string describe() const;

  io_uring_sqe* next_entry() noexcept;
  bool submit_one(operation& op) noexcept;
  bool submit_cancel(operation& op) noexcept;
  bool arm_bell() noexcept;
  void retry_waiting() noexcept;
  void ask_again() noexcept;
  unsigned unsubmitted() const noexcept;
  int enter(unsigned min_complete, unsigned flags, steady_ns timeout) noexcept;
  void sleep(steady_ns until);
  void check(int entered) const;
  std::size_t reap(std::span<completion> out) noexcept;
  bool translate(const io_uring_cqe& entry, completion& out) noexcept;

  uring_features features_;
  io_uring ring_ = {};
  io_uring_buf_ring* buffer_ring_ = nullptr;
  std::uint32_t buffers_free_ = 0;
  unsigned enter_flags_ = 0;
  bool bell_armed_ = false;
  bool cancel_missed_ = false;             // a cancellation did not find its operation
  steady_ns ask_again_at_ = never;         // when those that were cancelled in vain are once more
  steady_ns patience_ = patience_min;      // how much later that is
  intrusive_list<operation> unstarted_;    // found no room in the submission queue, oldest first
  intrusive_list<operation> uncancelled_;  // their cancellation found no room, or not them
  intrusive_list<operation> cancelling_;   // their cancellation was handed over
};

}  // namespace ringlet
