// send_message_wait: the base of waits that send datagrams.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/io_wait.hpp>
#include <ringlet/result.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace ringlet::extend {

/// Sends by a direct call, and polls the socket while it has no room. (A request that waits inside
/// io_uring sends an empty datagram if the socket is a Unix socket, because its first try has used
/// up the bytes; seen with Linux 6.18. UDP is not affected there.)
class send_message_wait : public io_wait<direction::write> {
 public:
  result<void> take();
  void await_resume();

 protected:
  send_message_wait(descriptor& on, std::span<const std::byte> bytes, time_limit timeout) noexcept;

  /// For await_suspend. `type` is the derived class's.
  bool begin_send(const wait_type& type, frame_record& at) noexcept;
  /// For await_suspend, because a wait may be moved until then.
  void set_peer(void* name, socklen_t size) noexcept {
    message_.msg_name = name;
    message_.msg_namelen = size;
  }
  /// Sends what part_ describes: one datagram, or several by UDP_SEGMENT. Returns the result.
  std::int32_t send_part() noexcept;
  /// True if that ends the wait: everything is sent, or will never be.
  virtual bool try_to_send() noexcept;
  /// Called when there is no room: arranges for try_again_now() to be called.
  virtual void wait_for_room() noexcept;
  /// For a derived class that learns otherwise that there may be room.
  void try_again_now() noexcept { try_to_send() ? finish_transfer() : wait_for_room(); }

  bool is_sent_ = false;
  iovec part_;
  msghdr message_{};

 private:
  static void on_room(operation& op, const completion& done) noexcept;
};

}  // namespace ringlet::extend
