// udp_socket: sends and receives UDP datagrams.
//
//     task<> echo(udp_socket& socket) {
//       for (;;) {
//         const udp_datagram got = co_await socket.receive();
//         if (!got.is_truncated) co_await socket.send_to(got.sender, got.data);
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/udp_waits.hpp>
#include <ringlet/time_limit.hpp>
#include <ringlet/unique_fd.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ringlet {

/// Options of udp_socket::bind() and connect().
struct udp_options {
  /// SO_REUSEADDR: for multicast, several sockets may have the same address and port, and each
  /// receives every datagram. Unicast then goes to the last one that was bound.
  bool reuse_address = false;
  /// SO_REUSEPORT: several sockets share the port, and the system distributes the senders among
  /// them. All of them must set it.
  bool reuse_port = false;
  /// IPV6_V6ONLY: an IPv6 socket neither sends nor receives IPv4 datagrams.
  bool ipv6_only = false;
  /// SO_BROADCAST: send_to() may name a broadcast address.
  bool broadcast = false;
  /// SO_RCVBUF in bytes, at least 0; 0 leaves the system's default. The system doubles the
  /// number for its own use, and has limits (net.core.rmem_max, wmem_max): see
  /// udp_socket::receive_buffer_size().
  int receive_buffer = 0;
  /// SO_SNDBUF, likewise.
  int send_buffer = 0;
};

/// Sends and receives datagrams: messages that arrive complete or not at all, possibly more than
/// once and in another order. Movable; destroying it closes it.
///
/// These rules apply to every call:
///
/// Overlap   One send and one receive may be in flight at the same time. A second one in the same
///           direction is the caller's bug and aborts. Fibers that share a socket take turns with a
///           mutex; udp_server does that for its handlers.
/// Loss      Datagrams that arrive while the socket's receive buffer is full are lost, and counted
///           by lost(). After a receive(), up to about 66 datagrams are kept in lent buffers
///           besides.
/// Errors    std::system_error with the system's errno, or as_result(). Closed on this side:
///           errc::closed. Timeout: errc::timed_out. On a connected socket, an ICMP message of the
///           peer's side (connection_refused: no socket has that port; host_unreachable, ...) is
///           the error of one call, the next one that sends or receives. It says that an earlier
///           datagram was lost; the socket remains usable. On other sockets, the system drops these
///           messages.
/// Cancellation  Loses nothing: a datagram is sent or received, or it is not. Success wins.
/// Lifetime  Memory is borrowed until the co_await returns. The socket may be moved, closed and
///           destroyed at any time. Calls in flight end with errc::closed when it is closed or
///           destroyed. It may outlive its scheduler, and may then only be moved, closed and
///           destroyed.
/// Thread    That of the scheduler on which it was created; calls on another thread abort.
/// Memory    One block of about 150 bytes. Calls do not allocate, except receive() when the
///           scheduler's buffers are all on lease.
/// Kernel    udp(7), ip(7), ipv6(7). On io_uring, one multishot request receives (Linux 6.0).
class udp_socket {
 public:
  /// Receives what is sent to "host:port"; port 0 picks a free port (see local_address()). Numeric,
  /// see address::parse(). For a client that only sends and gets answers, "0.0.0.0:0" or "[::]:0".
  /// Aborts outside of run().
  ///
  /// Errors    address_in_use, address_not_available, permission_denied, no descriptors (EMFILE),
  ///           ...; those of address::parse(). std::invalid_argument for a negative buffer size.
  ///           std::bad_alloc.
  static udp_socket bind(std::string_view host_and_port, const udp_options& options = {});
  /// The same for an address that was parsed.
  static udp_socket bind(const address& where, const udp_options& options = {});
  /// Makes a socket that sends to `peer` and receives only from there. Does not wait, and sends
  /// nothing: whether the peer exists is not known. Aborts outside of run().
  ///
  /// Errors    network_unreachable, no descriptors (EMFILE), ... std::invalid_argument, as bind().
  ///           std::bad_alloc.
  static udp_socket connect(const address& peer, const udp_options& options = {});
  /// Takes over a UDP socket. Aborts outside of run(); throws std::bad_alloc.
  explicit udp_socket(unique_fd fd);
  udp_socket(udp_socket&&) noexcept;
  udp_socket& operator=(udp_socket&&) noexcept;
  ~udp_socket();

  /// Connects this socket: see connect(). May be repeated, for another peer. Datagrams that came
  /// before from elsewhere are still received.
  /// Errors    network_unreachable, ...; errc::closed.
  void connect_to(const address& peer);

  /// Sends `bytes`, which may be empty, as one datagram to the connected peer. Waits while the
  /// socket's send buffer is full.
  /// Errors    destination_address_required: not connected. message_size: more than 65,507 bytes,
  ///           or 65,527 with IPv6. no_buffer_space, ...
  extend::send_udp_wait send(std::span<const std::byte> bytes,
                             const time_limit& timeout = forever) {
    return extend::send_udp_wait(checked(), bytes, nullptr, timeout);
  }
  /// The same for text.
  extend::send_udp_wait send(std::string_view text, const time_limit& timeout = forever) {
    return send(std::as_bytes(std::span(text)), timeout);
  }
  /// The same for a lent buffer.
  extend::send_udp_wait send(const buffer& data, const time_limit& timeout = forever) {
    return send(data.bytes(), timeout);
  }
  /// Sends `bytes` as one datagram to `peer`, whose address family must be that of the socket.
  /// Errors    Those of send(); network_unreachable; address_family_not_supported;
  ///           permission_denied: a broadcast address, without udp_options::broadcast.
  extend::send_udp_wait send_to(const address& peer, std::span<const std::byte> bytes,
                                const time_limit& timeout = forever) {
    return extend::send_udp_wait(checked(), bytes, &peer, timeout);
  }
  /// The same for text.
  extend::send_udp_wait send_to(const address& peer, std::string_view text,
                                const time_limit& timeout = forever) {
    return send_to(peer, std::as_bytes(std::span(text)), timeout);
  }
  /// The same for a lent buffer.
  extend::send_udp_wait send_to(const address& peer, const buffer& data,
                                const time_limit& timeout = forever) {
    return send_to(peer, data.bytes(), timeout);
  }

  /// Sends `bytes` to the connected peer as datagrams of `segment_size` bytes, 1 to 65,507; the
  /// last may be smaller. The kernel splits up to 64 of them per call (UDP_SEGMENT), which costs a
  /// fraction of as many calls. Where the kernel or the route cannot do that, each datagram is a
  /// call. After 16 calls, other fibers have their turn. No bytes: no datagram.
  ///
  /// Errors    Those of send(); std::invalid_argument for the segment size.
  /// Cancellation  What is not sent by then is not sent; bytes_written() counts what was. The
  ///           socket remains usable. The same holds for errors.
  /// Kernel    udp(7), Linux 4.18.
  extend::send_segments_wait send_segments(std::span<const std::byte> bytes,
                                           std::size_t segment_size,
                                           const time_limit& timeout = forever) {
    return extend::send_segments_wait(checked(), bytes, segment_size, nullptr, timeout);
  }
  /// The same to `peer`.
  extend::send_segments_wait send_segments_to(const address& peer, std::span<const std::byte> bytes,
                                              std::size_t segment_size,
                                              const time_limit& timeout = forever) {
    return extend::send_segments_wait(checked(), bytes, segment_size, &peer, timeout);
  }

  /// Waits for a datagram, and lends the buffer that holds it. There is no end: an empty datagram
  /// is a datagram. One that is larger than engine_options::buffer_size minus 44 bytes is
  /// truncated, and the result says so; for such sizes, use receive_into(). Aborts on a socket with
  /// set_coalescing(true).
  ///
  /// Errors    std::errc::not_enough_memory, if all buffers are on lease and there is no memory.
  extend::receive_udp_wait receive(const time_limit& timeout = forever) {
    RINGLET_ASSERT(!is_coalescing_, "receive() on a socket that coalesces: use receive_into()");
    return extend::receive_udp_wait(checked(), timeout);
  }
  /// Waits for a datagram and stores it at the front of `memory`. A larger one is truncated, and
  /// the result says so. Datagrams that an earlier receive() has left behind come first, and have
  /// its limit of size: for large ones, use only this call.
  extend::receive_udp_into_wait receive_into(std::span<std::byte> memory,
                                             const time_limit& timeout = forever) {
    return extend::receive_udp_into_wait(checked(), memory, timeout);
  }
  /// Waits until receive() would not have to wait. May be spurious. Returns false when the limit
  /// has passed. May be a part of a select().
  extend::readable_wait readable(const time_limit& timeout = forever) {
    return extend::readable_wait(checked(), timeout);
  }

  /// Ends the calls in flight with errc::closed, drops datagrams that were not taken, and closes
  /// the descriptor. Idempotent; only the first call waits.
  /// Errors    None.
  /// Cancellation  A close that has begun is not cancelled: a kill is thrown at the next wait.
  close_wait close() noexcept { return close_wait(state_.get()); }

  /// Receives what is sent to a multicast group, on the interface with that name; without a name,
  /// on the one that the system chooses.
  /// Errors    std::invalid_argument: `group` is no multicast address. no_such_device;
  ///           address_in_use: already joined; no descriptors (EMFILE); errc::closed.
  void join(const address& group, std::string_view interface = {});
  /// Undoes a join() with the same arguments.
  /// Errors    Those of join(), but address_not_available: not joined.
  void leave(const address& group, std::string_view interface = {});
  /// How many hops datagrams to multicast groups may travel, 0 (this host) to 255; at first 1.
  /// Errors    std::invalid_argument, errc::closed.
  void set_multicast_hops(int hops);
  /// Whether groups on this host get what this socket sends; at first true.
  /// Errors    errc::closed.
  void set_multicast_loop(bool on);
  /// The interface for datagrams to multicast groups; an empty name leaves the choice to the
  /// system.
  /// Errors    no_such_device, no descriptors (EMFILE), errc::closed.
  void set_multicast_interface(std::string_view interface);

  /// Lets the kernel put datagrams of one sender together (UDP_GRO), so that receive_into() returns
  /// many of them at once: see received_udp::segment_size, and give it 65,536 bytes of memory.
  /// Call it before the first receive. Returns false if this kernel cannot; receive_into() then
  /// returns single datagrams, so that a program needs no second way.
  /// Errors    errc::closed.
  /// Kernel    udp(7), Linux 5.0.
  bool set_coalescing(bool on);

  /// How many datagrams this socket has lost so far, because its receive buffer was full or a
  /// checksum was wrong. The system counts with 32 bits.
  /// Errors    errc::closed.
  /// Kernel    SO_MEMINFO, the number that SO_RXQ_OVFL reports; Linux 4.12.
  std::uint64_t lost() const;
  /// The size of the socket's receive buffer in bytes, as the system counts it (SO_RCVBUF).
  /// Errors    errc::closed.
  int receive_buffer_size() const;
  /// The same for its send buffer (SO_SNDBUF).
  /// Errors    errc::closed.
  int send_buffer_size() const;
  /// The address on this side.
  /// Errors    errc::closed.
  address local_address() const;
  /// The address of the connected peer.
  /// Errors    not_connected, errc::closed.
  address peer_address() const;
  /// How many bytes of datagrams were received so far, without those that did not fit.
  std::uint64_t bytes_read() const noexcept { return checked().count(extend::direction::read); }
  /// How many bytes were sent so far.
  std::uint64_t bytes_written() const noexcept { return checked().count(extend::direction::write); }
  /// The descriptor, or -1 once closed. The socket keeps ownership.
  int native_handle() const noexcept { return state_ ? state_->fd() : -1; }

 private:
  extend::descriptor& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "a UDP socket that was moved from was used");
    return *state_;
  }
  void set(int level, int name, int value, const char* what);
  void change_membership(bool join, const address& group, std::string_view interface);

  extend::descriptor::owner state_;
  bool is_coalescing_ = false;
};

}  // namespace ringlet
