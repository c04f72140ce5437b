// The waits of udp_socket.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/buffer.hpp>
#include <ringlet/extend/send_message_wait.hpp>
#include <ringlet/extend/stream_waits.hpp>
#include <ringlet/result.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ringlet {

/// What udp_socket::receive() returns.
struct udp_datagram {
  /// The bytes, none for an empty datagram. Of a truncated one, those that fitted.
  buffer data;
  /// Who sent it.
  address sender;
  /// The size of the datagram in bytes, 0 to 65,527.
  std::size_t size = 0;
  /// Whether it was larger than the buffer: the rest of it is lost.
  bool is_truncated = false;
};

/// What udp_socket::receive_into() returns.
struct received_udp {
  /// How many bytes came, 0 or more. The first of them, as many as fit, are at the front of the
  /// memory.
  std::size_t size = 0;
  /// Whether they did not fit: the rest of them is lost.
  bool is_truncated = false;
  /// With udp_socket::set_coalescing(): the bytes are datagrams of this size, one after the other;
  /// the last may be smaller. Otherwise equal to `size`.
  std::size_t segment_size = 0;
  /// Who sent it.
  address sender;
};

}  // namespace ringlet

namespace ringlet::extend {

/// What udp_socket passes to descriptor::make_for_datagrams().
const msghdr& udp_form() noexcept;

/// See udp_socket::receive().
class [[nodiscard]] receive_udp_wait final : public receive_wait {
 public:
  using receive_wait::receive_wait;
  result<udp_datagram> take();
  udp_datagram await_resume();
};

/// See udp_socket::receive_into().
class [[nodiscard]] receive_udp_into_wait final : public read_wait {
 public:
  receive_udp_into_wait(descriptor& on, std::span<std::byte> memory, time_limit timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<received_udp> take();
  received_udp await_resume();

 private:
  bool begin(frame_record& at) noexcept;
  bool take_arrived() noexcept override;
  void note_segments() noexcept;
  static void on_completion(operation& op, const completion& done) noexcept;
  static const wait_type type;

  received_udp got_;
  iovec part_;
  msghdr message_{};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control_;
};

/// See udp_socket::send() and send_to().
class [[nodiscard]] send_udp_wait final : public send_message_wait {
 public:
  /// `to` may be null, for a connected socket.
  send_udp_wait(descriptor& on, std::span<const std::byte> bytes, const address* to,
                time_limit timeout) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }

 private:
  bool begin(frame_record& at) noexcept;
  static const wait_type type;

  bool is_connected_;
  address to_;
};

/// See udp_socket::send_segments(). Hands the kernel up to 64 datagrams per call, and if it cannot
/// split them, one per call.
class [[nodiscard]] send_segments_wait final : public send_message_wait {
 public:
  send_segments_wait(descriptor& on, std::span<const std::byte> bytes, std::size_t segment_size,
                     const address* to, time_limit timeout);

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }

 private:
  bool begin(frame_record& at) noexcept;
  bool try_to_send() noexcept override;
  void aim() noexcept;
  static const wait_type type;

  std::span<const std::byte> left_;
  std::size_t segment_size_;
  bool is_connected_;
  bool splits_ = true;  // the kernel splits
  address to_;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(std::uint16_t))> control_;
};

}  // namespace ringlet::extend
