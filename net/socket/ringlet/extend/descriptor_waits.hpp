// The waits of unix_stream that pass descriptors.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/stream_waits.hpp>
#include <ringlet/unique_fd.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ringlet {

/// What unix_stream::receive_descriptors() returns.
struct received_descriptors {
  /// How many bytes are at the front of the memory; 0 at the end of the stream.
  std::size_t bytes = 0;
  /// How many descriptors are at the front of the array.
  std::size_t descriptors = 0;
};

}  // namespace ringlet

namespace ringlet::detail {

/// The most descriptors that a message carries: SCM_MAX_FD of the kernel.
inline constexpr std::size_t descriptors_max = 253;

/// The control data of a message with descriptors.
struct alignas(cmsghdr) descriptor_message {
  std::array<std::byte, CMSG_SPACE(descriptors_max * sizeof(int))> control;
  iovec part;
  msghdr header;
};

}  // namespace ringlet::detail

namespace ringlet::extend {

/// See unix_stream::send_descriptors().
class [[nodiscard]] send_descriptors_wait final : public io_wait<direction::write> {
 public:
  send_descriptors_wait(descriptor& on, std::span<const int> sent, std::span<const std::byte> bytes,
                        time_limit timeout);

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take();
  void await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  static void on_completion(operation& op, const completion& done) noexcept;
  static const wait_type type;

  std::size_t left_;
  std::byte* next_;
  detail::descriptor_message message_;
};

/// See unix_stream::receive_descriptors().
class [[nodiscard]] receive_descriptors_wait final : public read_wait {
 public:
  receive_descriptors_wait(descriptor& on, std::span<std::byte> memory,
                           std::span<unique_fd> received, time_limit timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_read(type, caller.promise());
  }
  result<received_descriptors> take();
  received_descriptors await_resume();

 private:
  static void on_completion(operation& op, const completion& done) noexcept;
  bool take_arrived() noexcept override;
  std::size_t collect() noexcept;
  static const wait_type type;

  std::span<unique_fd> received_;
  bool has_message_ = false;  // the kernel has filled message_
  detail::descriptor_message message_;
};

}  // namespace ringlet::extend
