// What a listener keeps while the kernel accepts for it.
#pragma once

#include <ringlet/detail/closable.hpp>
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
/// processes get theirs.
class listener_state final : public detail::closable, public descriptor_waiter, private timer {
 public:
  listener_state(unique_fd taken, descriptor::family of);

  scheduler& home() const noexcept;
  std::int32_t call(operation& op) const noexcept;

  /// A connection that is there, or null.
  descriptor::owner take_staged() noexcept;
  void enqueue(accept_wait& wait) noexcept;
  /// One that waited does so no more.
  void on_waiter_gone() noexcept;

 private:
  ~listener_state();
  static void on_completion(operation& op, const completion& done) noexcept;
  static void on_retry(timer& due) noexcept;
  void on_descriptor_freed() noexcept override;
  void on_shutdown() noexcept override;
  const char* thread_rule() const noexcept override;
  bool is_idle() const noexcept override { return !in_flight(); }
  void begin_close() noexcept override;
  void drop_untaken() noexcept override;

  bool is_adopted() const noexcept { return family_ == descriptor::family::unknown; }
  bool wants_more() const noexcept;
  void arm() noexcept;
  descriptor::owner next_staged() noexcept;
  void serve_staged() noexcept;
  bool hand_over(int made) noexcept;
  void accepted(int made) noexcept;
  void failed(std::int32_t error) noexcept;
  void back_off(std::int32_t error) noexcept;
  void retry() noexcept;

  wait_list waiters_;
  std::deque<int> staged_;
  steady_ns pause_ = 0;  // of the last back-off; 0 when the last accept succeeded
  descriptor::family family_;
  bool complained_ = false;
};

}  // namespace ringlet
