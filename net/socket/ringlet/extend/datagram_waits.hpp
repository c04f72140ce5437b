// The waits of unix_datagram.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/io_wait.hpp>
#include <ringlet/extend/send_message_wait.hpp>
#include <ringlet/extend/timer.hpp>
#include <ringlet/result.hpp>
#include <ringlet/unix_address.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <coroutine>
#include <cstddef>
#include <span>

namespace ringlet {

/// What unix_datagram::receive() returns.
struct received_datagram {
  /// The size of the datagram, which may be 0. The first bytes of it, as many as fit, are at the
  /// front of the memory.
  std::size_t size = 0;
  /// Whether the datagram was larger than the memory: the rest of it is lost.
  bool is_truncated = false;
  /// Unnamed if the sender's socket was not bound.
  unix_address sender;
};

}  // namespace ringlet

namespace ringlet::extend {

/// See unix_datagram::send(). When the queue of a receiver that is named in the call is full, the
/// wait tries again later: the kernel does not report when there is room in it.
class [[nodiscard]] send_datagram_wait final : public send_message_wait, private timer_entry {
 public:
  /// `to` may be null, for a connected socket.
  send_datagram_wait(descriptor& on, std::span<const std::byte> bytes, const unix_address* to,
                     time_limit timeout) noexcept;
  ~send_datagram_wait();

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  void on_cancel(cancel_reason reason) noexcept;

 private:
  bool begin(frame_record& at) noexcept;
  bool try_to_send() noexcept override;
  void wait_for_room() noexcept override;
  static void on_retry(timer_entry& due) noexcept;
  static const wait_type type;

  timer_queue* timers_ = nullptr;  // where a place is reserved; null for a connected socket
  unix_address to_;
};

/// See unix_datagram::receive().
class [[nodiscard]] receive_datagram_wait final : public io_wait<direction::read>,
                                                  private arrival_waiter {
 public:
  receive_datagram_wait(descriptor& on, std::span<std::byte> memory, time_limit timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<received_datagram> take();
  received_datagram await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  void on_arrival() noexcept override {}
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }
  static void on_completion(operation& op, const completion& done) noexcept;
  static const wait_type type;

  unix_address from_;
  iovec part_;
  msghdr message_{};
};

}  // namespace ringlet::extend
