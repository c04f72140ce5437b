// What a listener keeps while the kernel accepts for it.
#pragma once

#include <ringlet/operation.hpp>
#include <ringlet/scheduler.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/timer.hpp>
#include <ringlet/wait.hpp>

#include <deque>

namespace ringlet {

/// One multishot accept, armed while a fiber waits or there is room for connections that have not
/// been asked for yet. An adopted listener may be shared with other threads and processes: it
/// accepts one connection at a time, and only while a fiber waits, so that the other threads and
/// processes get theirs. It lives on the heap and outlives its listener until the kernel has let
/// go.
class listener_state final : public scheduler_guest,
                             public descriptor_waiter,
                             private operation,
                             private timer {
 public:
  listener_state(unique_fd taken, ringlet::descriptor::family of);

  int descriptor() const noexcept { return closing_ ? -1 : socket_.get(); }
  scheduler& home() const noexcept;
  std::int32_t call(operation& op) const noexcept;

  /// A connection that is there, or null.
  descriptor::owner take_staged() noexcept;
  void enqueue(accept_wait& wait) noexcept;
  /// One that waited does so no more.
  void on_waiter_gone() noexcept;
  /// True when it is closed already.
  bool close(close_listener_wait* waiter) noexcept;
  void release() noexcept;

 private:
  ~listener_state() = default;
  static void on_completion(operation& op, const completion& done) noexcept;
  static void on_retry(timer& due) noexcept;
  void on_descriptor_freed() noexcept override;
  void on_shutdown() noexcept override;
  void on_scheduler_gone() noexcept override;

  bool is_adopted() const noexcept { return family_ == ringlet::descriptor::family::unknown; }
  bool wants_more() const noexcept;
  void arm() noexcept;
  descriptor::owner next_staged() noexcept;
  void serve_staged() noexcept;
  bool hand_over(int made) noexcept;
  void accepted(int made) noexcept;
  void failed(std::int32_t error) noexcept;
  void back_off(std::int32_t error) noexcept;
  void retry() noexcept;
  void close_staged() noexcept;
  void finish_close() noexcept;

  scheduler* home_;
  unique_fd socket_;
  wait_list waiters_;
  std::deque<int> staged_;
  close_listener_wait* closer_ = nullptr;
  steady_ns pause_ = 0;  // of the last back-off; 0 when the last accept succeeded
  ringlet::descriptor::family family_;
  bool closing_ = false;
  bool released_ = false;
  bool complained_ = false;
};

}  // namespace ringlet
