// Waits for bytes of descriptors that are no sockets: pipes, terminals, files.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/detail/retry.hpp>
#include <ringlet/extend/stream_waits.hpp>
#include <ringlet/result.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>

namespace ringlet::extend {

/// receive() of such a descriptor: reads into memory that is allocated for the call, because the
/// engine lends its buffers only to sockets.
class [[nodiscard]] plain_receive_wait final : public read_wait {
 public:
  plain_receive_wait(descriptor& on, time_limit timeout) noexcept
      : read_wait(on, opcode::read, &plain_receive_wait::on_completion, timeout) {}
  ~plain_receive_wait();

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return allocate() ? begin_read(type, caller.promise()) : begin_nothing(caller.promise());
  }
  result<buffer> take();
  buffer await_resume();

 private:
  bool allocate() noexcept;
  static void on_completion(operation& op, const completion& done) noexcept;
  bool take_arrived() noexcept override;
  static const wait_type type;

  buffer_pool* pool_ = nullptr;
  std::byte* memory_ = nullptr;
};

/// readable() of such a descriptor: a poll, which takes nothing.
class [[nodiscard]] plain_readable_wait final
    : public claiming_wait<direction::read, basic_operation_wait<two_phase_wait>>,
      private arrival_waiter {
 public:
  plain_readable_wait(descriptor& on, time_limit timeout) noexcept;
  ~plain_readable_wait() { end_claim(); }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<bool> take();
  bool await_resume();

  static constexpr bool is_external = true;
  bool try_now() noexcept;
  void watch() noexcept { engine().start(*this); }
  void unwatch() noexcept { engine().cancel(*this); }
  bool lingers() const noexcept { return in_flight(); }
  static const wait_type type;

 private:
  static void on_completion(operation& op, const completion& done) noexcept;
  void on_arrival() noexcept override {}
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }

  detail::poll_retries retries_;
};

}  // namespace ringlet::extend
