// The waits for bytes: what the calls of streams return. Programs only ever `co_await` them.
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

/// See tcp_stream::receive(). The request that it waits for belongs to the descriptor.
class [[nodiscard]] receive_wait final : private arrival_waiter,
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

  std::int32_t answer_ = -ECANCELED;
  // The bytes: in a buffer of the pool, or in memory of their own.
  std::int32_t buffer_ = completion::no_buffer;
  std::byte* memory_ = nullptr;
};

/// See tcp_stream::readable(). It keeps its claim until it is destroyed: as a part of a select() it
/// may be given up by the end of a request, and the code that ends the last claim on a descriptor
/// that is being closed destroys it.
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

/// The base of reads into the caller's memory. What has been received is taken first; as long as a
/// request of receive() is in flight it is waited for, and no other is made.
class read_wait : public io_wait<direction::read>, private arrival_waiter {
 public:
  void on_cancel(cancel_reason reason) noexcept;

 protected:
  using io_wait::io_wait;

  /// For await_suspend: takes what has arrived, else waits.
  bool begin_read(const wait_type& type, frame_record& at) noexcept;

 private:
  void on_arrival() noexcept override;
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }
  /// Waits for the request in flight, or makes its own: false when the wait has been asked to end.
  bool wait_on() noexcept;
  /// Takes what has arrived. True when that ends the call; else data and length are what is left.
  virtual bool take_arrived() noexcept = 0;
};

/// See tcp_stream::read_some().
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

/// See tcp_stream::read_exact().
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

/// The base of writes: sends until all has gone out. A derived class says by hooks what a request
/// sends: `void aim()` points it to what is left, `void advance(std::size_t sent)` drops what has
/// gone out from that.
class write_wait : public io_wait<direction::write> {
 public:
  result<void> take();
  void await_resume();

 protected:
  write_wait(descriptor& on, opcode kind, handler completed, std::size_t size,
             time_limit timeout) noexcept
      : io_wait(on, kind, completed, timeout), left_(size) {}

  /// For await_suspend: refuses what is closed or cut short, else starts.
  template <class Wait>
  static bool begin_write(Wait& self, frame_record& at) noexcept;
  template <class Wait>
  static void on_sent(operation& op, const completion& done) noexcept;

  std::size_t left_;
};

/// See tcp_stream::write_all().
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

/// See tcp_stream::write_all() of several spans.
class [[nodiscard]] gather_wait : public write_wait {
 public:
  gather_wait(descriptor& on, std::span<const std::span<const std::byte>> parts,
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
  std::size_t first_ = 0;    // the first part that has not gone out whole
  std::size_t cut_off_ = 0;  // of the last part of the request in flight
  msghdr message_ = {};
};

}  // namespace ringlet::extend
