// unix_datagram: a Unix socket for messages of a known size.
//
//     task<> collect(unix_address where, std::function<void(std::string_view)> log) {
//       auto socket = unix_datagram::bind(where);
//       std::array<std::byte, 2048> memory;
//       for (;;) {
//         const received_datagram got = co_await socket.receive(memory);
//         if (got.is_truncated) continue;
//         log({reinterpret_cast<const char*>(memory.data()), got.size});
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/datagram_waits.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/unique_fd.hpp>
#include <ringlet/unix_address.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace ringlet::detail {

class socket_file;

}  // namespace ringlet::detail

namespace ringlet {

/// Sends and receives datagrams on this machine. None is lost or reordered: a sender waits while
/// the queue of the receiver is full (net.unix.max_dgram_qlen). Movable; destroying it closes it.
///
/// These rules apply to every call:
///
/// Overlap   One send and one receive may be in flight at the same time. A second one in the same
///           direction is the caller's bug and aborts.
/// Files     bind() and close() treat the file of the socket as unix_listener does.
/// Errors    std::system_error with the system's errno, or as_result(). Closed on this side:
///           errc::closed. Timeout: errc::timed_out.
/// Cancellation  Loses nothing: a datagram is sent or received, or it is not. Success wins.
/// Lifetime  Memory is borrowed until the co_await returns. The socket may be moved, closed and
///           destroyed at any time. Calls in flight end with errc::closed when it is closed or
///           destroyed. It may outlive its scheduler, and may then only be moved, closed and
///           destroyed.
/// Thread    That of the scheduler on which it was created; calls on another thread abort.
/// Memory    One block of about 150 bytes, and the path of a bound one. Calls do not allocate.
/// Kernel    unix(7). send_to() that has to wait tries every 10 ms, because the kernel does not
///           report when a receiver that is named in the call has room.
class unix_datagram {
 public:
  /// Opens a socket without a name: for sending. Aborts outside of run().
  /// Errors    No descriptors (EMFILE), ... std::bad_alloc.
  static unix_datagram open();
  /// Opens a socket that receives what is sent to a path or an abstract name: see
  /// unix_address::parse(). `permissions`: of the file, as in unix_listen_options. Aborts outside
  /// of run().
  ///
  /// Errors    address_in_use, permission_denied, no_such_file_or_directory, no descriptors
  ///           (EMFILE), ...; those of unix_address::parse(). std::bad_alloc.
  static unix_datagram bind(std::string_view where, int permissions = -1);
  /// The same for an address that was parsed.
  static unix_datagram bind(const unix_address& where, int permissions = -1);
  /// Makes two sockets that send to each other. Aborts outside of run().
  /// Errors    No descriptors (EMFILE), ... std::bad_alloc.
  static std::pair<unix_datagram, unix_datagram> pair();
  /// Takes over a datagram socket. Aborts outside of run(); throws std::bad_alloc.
  explicit unix_datagram(unique_fd fd);
  unix_datagram(unix_datagram&&) noexcept;
  unix_datagram& operator=(unix_datagram&&) noexcept;
  ~unix_datagram();

  /// Makes `peer` the receiver of send() without an address, and the only sender to this socket.
  /// Does not wait.
  /// Errors    connection_refused, no_such_file_or_directory, permission_denied,
  ///           wrong_protocol_type if a stream socket has that address; errc::closed.
  void connect(const unix_address& peer);

  /// Sends `bytes`, which may be empty, as one datagram to the peer of connect() or pair().
  /// Errors    not_connected; connection_refused, connection_reset: the peer has closed its socket;
  ///           message_size if the datagram is larger than SO_SNDBUF allows.
  extend::send_datagram_wait send(std::span<const std::byte> bytes,
                                  const time_limit& timeout = forever) {
    return extend::send_datagram_wait(checked(), bytes, nullptr, timeout);
  }
  /// The same for text.
  extend::send_datagram_wait send(std::string_view text, const time_limit& timeout = forever) {
    return send(std::as_bytes(std::span(text)), timeout);
  }
  /// Sends `bytes` as one datagram to `peer`, which must have a name.
  /// Errors    Those of connect() and send().
  extend::send_datagram_wait send_to(const unix_address& peer, std::span<const std::byte> bytes,
                                     const time_limit& timeout = forever);
  /// The same for text.
  extend::send_datagram_wait send_to(const unix_address& peer, std::string_view text,
                                     const time_limit& timeout = forever) {
    return send_to(peer, std::as_bytes(std::span(text)), timeout);
  }

  /// Waits for a datagram and stores it at the front of `memory`. A larger one is truncated, and
  /// the result says so. There is no end: an empty datagram is a datagram.
  extend::receive_datagram_wait receive(std::span<std::byte> memory,
                                        const time_limit& timeout = forever) {
    return extend::receive_datagram_wait(checked(), memory, timeout);
  }

  /// Removes the file of a bound socket, ends the calls in flight with errc::closed, and closes the
  /// descriptor. Idempotent; only the first call waits.
  /// Errors    None.
  /// Cancellation  A close that has begun is not cancelled: a kill is thrown at the next wait.
  close_wait close() noexcept;

  /// The address on this side.
  /// Errors    errc::closed.
  unix_address local_address() const;
  /// How many bytes were received so far, without those that did not fit.
  std::uint64_t bytes_read() const noexcept { return checked().count(extend::direction::read); }
  /// How many bytes were sent so far.
  std::uint64_t bytes_written() const noexcept { return checked().count(extend::direction::write); }
  /// The descriptor, or -1 once closed. The socket keeps ownership.
  int native_handle() const noexcept { return state_ ? state_->fd() : -1; }

 private:
  extend::descriptor& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "a datagram socket that was moved from was used");
    return *state_;
  }

  extend::descriptor::owner state_;
  std::unique_ptr<detail::socket_file> file_;  // null unless bound to a path
};

}  // namespace ringlet
