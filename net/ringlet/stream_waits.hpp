// The waits for bytes: what the calls of streams return. Programs only ever `co_await` them.
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/descriptor.hpp>
#include <ringlet/result.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <coroutine>
#include <cstddef>
#include <span>
#include <vector>

namespace ringlet {

/// See tcp_stream::receive().
class [[nodiscard]] receive_wait : public io_wait {
 public:
  receive_wait(descriptor& on, until limit) noexcept
      : io_wait(on, direction::read, opcode::receive, &receive_wait::on_completion, limit) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<buffer> take();
  buffer await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  static void on_completion(operation& op, const completion& done) noexcept;
  bool receive_privately() noexcept;
  static const wait_type type;
  std::int32_t lent_ = completion::no_buffer;
};

/// See tcp_stream::read_some().
class [[nodiscard]] read_some_wait : public io_wait {
 public:
  read_some_wait(descriptor& on, opcode kind, std::span<std::byte> memory, until limit) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<std::size_t> take();
  std::size_t await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  static void on_completion(operation& op, const completion& done) noexcept;
  static const wait_type type;
};

/// See tcp_stream::read_exact().
class [[nodiscard]] read_exact_wait : public io_wait {
 public:
  read_exact_wait(descriptor& on, opcode kind, std::span<std::byte> memory, until limit) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take();
  void await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  void aim() noexcept;
  static void on_completion(operation& op, const completion& done) noexcept;
  static const wait_type type;
  std::span<std::byte> memory_;
  std::size_t done_ = 0;
};

/// See tcp_stream::write_all().
class [[nodiscard]] write_all_wait : public io_wait {
 public:
  write_all_wait(descriptor& on, opcode kind, std::span<const std::byte> bytes,
                 until limit) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take();
  void await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  void aim() noexcept;
  static void on_completion(operation& op, const completion& done) noexcept;
  static const wait_type type;
  std::span<const std::byte> bytes_;
  std::size_t done_ = 0;
};

/// See tcp_stream::write_all() of several spans.
class [[nodiscard]] gather_wait : public io_wait {
 public:
  gather_wait(descriptor& on, std::span<const std::span<const std::byte>> parts, until limit);

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take();
  void await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  void aim() noexcept;
  void advance(std::size_t sent) noexcept;
  static void on_completion(operation& op, const completion& done) noexcept;
  static const wait_type type;
  std::vector<iovec> parts_;
  std::size_t first_ = 0;  // the first part that has not gone out whole
  std::size_t left_ = 0;
  bool begun_ = false;
  msghdr message_ = {};
};

}  // namespace ringlet
