// The state of a listener, which outlives it while the kernel accepts for it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/closable.hpp>
#include <ringlet/extend/accept_wait.hpp>
#include <ringlet/extend/operation.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/timer.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/unique_fd.hpp>

#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

#include "listener_share.hpp"
#include "socket_file.hpp"

namespace ringlet::detail {

/// One multishot accept, armed while a fiber waits or another connection can be staged. An adopted
/// listener may be shared with other threads and processes. So it accepts one connection at a time
/// and only while a fiber waits, and leaves the rest to them.
class listener_state final : public detail::closable,
                             public extend::descriptor_waiter,
                             private extend::timer_entry {
 public:
  listener_state(unique_fd taken, extend::descriptor::family of);

  extend::scheduler& scheduler() const noexcept;
  std::int32_t call(extend::operation& op) const noexcept;

  /// At most this many accepted connections wait for a fiber to take them.
  static constexpr std::size_t staged_max = 64;

  /// Makes it one of the listeners of a group, before it accepts.
  void join(std::shared_ptr<listener_share> as) noexcept { share_ = std::move(as); }
  /// A connection that another listener of the group has accepted.
  void take_over(int made) noexcept;

  /// Closing removes the file of a Unix socket.
  void own(socket_file made) noexcept { file_ = std::move(made); }

  /// Takes a staged connection. Null if there is none.
  extend::descriptor::owner take_staged() noexcept;
  void enqueue(extend::accept_wait_base& wait) noexcept;
  /// Accepts no more. Waits for a connection end when nothing is staged any more.
  void stop() noexcept;
  /// Whether no connection will come any more.
  bool has_ended() const noexcept {
    return fd() < 0 || (stopped_ && staged_.empty() && !in_flight());
  }
  /// Called when a wait has ended without a connection.
  void on_waiter_gone() noexcept;

 private:
  ~listener_state() override;
  static void on_completion(extend::operation& op, const extend::completion& done) noexcept;
  static void on_retry(extend::timer_entry& due) noexcept;
  void on_descriptor_freed() noexcept override;
  void on_shutdown() noexcept override;
  const char* thread_rule() const noexcept override;
  bool is_idle() const noexcept override { return !in_flight(); }
  void begin_close() noexcept override;
  void drop_untaken() noexcept override;

  bool is_adopted() const noexcept { return family_ == extend::descriptor::family::unknown; }
  bool wants_more() const noexcept;
  void arm() noexcept;
  extend::descriptor::owner next_staged() noexcept;
  void serve_staged() noexcept;
  bool hand_over(int made) noexcept;
  void accepted(int made) noexcept;
  void keep(int made) noexcept;
  void note_staged() noexcept;
  void leave_group() noexcept;
  void failed(std::int32_t error) noexcept;
  void back_off(std::int32_t error) noexcept;
  void retry() noexcept;
  void end_waits() noexcept;

  extend::wait_list waiters_;
  std::deque<int> staged_;
  extend::steady_ns pause_ = 0;  // of the last back-off; 0 once an accept succeeds
  socket_file file_;
  std::shared_ptr<listener_share> share_;  // in a group; else null
  extend::descriptor::family family_;
  bool stopped_ = false;
  bool has_left_ = false;    // the group
  bool complained_ = false;  // the message about a shortage has been printed
};

}  // namespace ringlet::detail
