// connecting_wait: the base of waits that open a socket and connect it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/operation_wait.hpp>
#include <ringlet/unique_fd.hpp>

#include <sys/socket.h>

namespace ringlet::extend {

/// A derived class keeps the address of the peer, and makes a stream of the connected socket.
class connecting_wait : public operation_wait {
 protected:
  explicit connecting_wait(time_limit timeout) noexcept
      : operation_wait(opcode::connect, &operation_wait::on_done, timeout) {}
  ~connecting_wait() = default;

  struct target {
    int family;
    int protocol;
    sockaddr* peer;
    socklen_t size;
  };
  /// For await_suspend: opens a stream socket, and starts to connect it.
  bool begin_connect(const wait_type& type, frame_record& at, const target& to) noexcept;
  /// For take(): no error if the socket is connected. An attempt that was abandoned may still
  /// succeed, so its socket is closed.
  std::error_code connect_error();

  unique_fd socket_;
};

}  // namespace ringlet::extend
