// The waits for bytes that the calls of streams return. Programs only `co_await` them.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/io_wait.hpp>
#include <ringlet/result.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ringlet::extend {

/// See socket_stream::receive(). It waits for a request that belongs to the descriptor.
class [[nodiscard]] receive_wait : private arrival_waiter,
                                   public claiming_wait<direction::read, wait_base> {
 public:
  receive_wait(descriptor& on, time_limit timeout) noexcept : claiming_wait(on, timeout) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<buffer> take();
  buffer await_resume();

  void on_cancel(cancel_reason reason) noexcept;

 private:
  bool begin(frame_record& at) noexcept;
  void on_arrival() noexcept override;
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }
  bool take_arrived() noexcept;
  static const wait_type type;

 protected:
  std::int32_t answer_ = -ECANCELED;
  // The received bytes: in a buffer of the pool, or in private memory.
  std::int32_t buffer_ = completion::no_buffer;
  std::byte* memory_ = nullptr;
};

/// See socket_stream::readable(). It keeps its claim until it is destroyed, not only until it ends:
/// in a select(), the completion of a request on the same descriptor may end it, and ending the
/// last claim on a closing descriptor destroys that descriptor, which the completion still uses.
class [[nodiscard]] readable_wait final : public claiming_wait<direction::read, two_phase_wait>,
                                          private arrival_waiter {
 public:
  readable_wait(descriptor& on, time_limit timeout) noexcept : claiming_wait(on, timeout) {}
  ~readable_wait() { end_claim(); }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_alone(*this, caller.promise());
  }
  result<bool> take();
  bool await_resume();

  static constexpr bool is_external = true;
  bool try_now() noexcept;
  void watch() noexcept { on().await_arrival(); }
  void unwatch() noexcept { on().stop_awaiting(*this); }
  void on_cancel(cancel_reason reason) noexcept;
  static const wait_type type;

 private:
  void on_arrival() noexcept override;
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }
};

/// The base of reads into the caller's memory. Takes bytes that have already been received first.
/// While a request of receive() is in flight, waits for that one and starts no other.
class read_wait : public io_wait<direction::read>, private arrival_waiter {
 public:
  void on_cancel(cancel_reason reason) noexcept;

 protected:
  using io_wait::io_wait;

  /// For await_suspend: takes bytes that have arrived, otherwise waits.
  bool begin_read(const wait_type& type, frame_record& at) noexcept;

 private:
  void on_arrival() noexcept override;
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }
  /// Waits for the request in flight, or starts its own. False if the wait has been cancelled.
  bool wait_on() noexcept;
  /// Takes bytes that have arrived. True if that completes the call; otherwise `data` and `length`
  /// describe the memory that is left to fill.
  virtual bool take_arrived() noexcept = 0;
};

/// See socket_stream::read_some().
class [[nodiscard]] read_some_wait final : public read_wait {
 public:
  read_some_wait(descriptor& on, opcode kind, std::span<std::byte> memory,
                 time_limit timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_read(type, caller.promise());
  }
  result<std::size_t> take();
  std::size_t await_resume();

 private:
  static void on_completion(operation& op, const completion& done) noexcept;
  bool take_arrived() noexcept override;
  static const wait_type type;
};

/// See socket_stream::read_exact().
class [[nodiscard]] read_exact_wait final : public read_wait {
 public:
  read_exact_wait(descriptor& on, opcode kind, std::span<std::byte> memory,
                  time_limit timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return memory_.empty() ? begin_nothing(caller.promise()) : begin_read(type, caller.promise());
  }
  result<void> take();
  void await_resume();

 private:
  void add(std::size_t bytes) noexcept;
  void aim() noexcept;
  static void on_completion(operation& op, const completion& done) noexcept;
  bool take_arrived() noexcept override;
  static const wait_type type;
  std::span<std::byte> memory_;
  std::size_t done_ = 0;
};

/// The base of writes: sends until no bytes are left. A derived class has two hooks: `void aim()`
/// points the request to the bytes that are left, and `void advance(std::size_t sent)` removes the
/// first `sent` bytes from them.
class write_wait : public io_wait<direction::write> {
 public:
  result<void> take();
  void await_resume();

 protected:
  write_wait(descriptor& on, opcode kind, handler completed, std::size_t size,
             time_limit timeout) noexcept
      : io_wait(on, kind, completed, timeout), left_(size) {}

  /// For await_suspend: starts the write, or refuses it if this direction is closed or cut short.
  template <class Wait>
  static bool begin_write(Wait& self, frame_record& at) noexcept;
  template <class Wait>
  static void on_sent(operation& op, const completion& done) noexcept;

  std::size_t left_;
};

/// See socket_stream::write_all().
class [[nodiscard]] write_all_wait : public write_wait {
 public:
  write_all_wait(descriptor& on, opcode kind, std::span<const std::byte> bytes,
                 time_limit timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }

 private:
  friend class write_wait;
  bool begin(frame_record& at) noexcept;
  void aim() noexcept;
  void advance(std::size_t sent) noexcept;
  static const wait_type type;
};

/// See socket_stream::write_all() of several spans. By opcode::write, each piece is a request.
class [[nodiscard]] gather_wait : public write_wait {
 public:
  gather_wait(descriptor& on, opcode kind, std::span<const std::span<const std::byte>> parts,
              time_limit timeout);

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }

 private:
  friend class write_wait;
  bool begin(frame_record& at) noexcept;
  void aim() noexcept;
  void advance(std::size_t sent) noexcept;
  static const wait_type type;
  std::vector<iovec> parts_;
  std::size_t first_ = 0;    // the first part that is not completely sent
  std::size_t cut_off_ = 0;  // bytes cut from the last part of the request in flight
  msghdr message_ = {};
};

}  // namespace ringlet::extend
