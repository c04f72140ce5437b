// tcp_stream: one end of a TCP connection.
//
//     task<std::string> ask(address server, std::string_view question) {
//       tcp_stream peer = co_await tcp_stream::connect(server, 5s);
//       co_await peer.write_all(question, 5s);
//       peer.shutdown_write();
//       std::string answer;
//       while (buffer data = co_await peer.receive(30s)) answer += data.text();
//       co_return answer;
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/connect_options.hpp>
#include <ringlet/extend/connecting_wait.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/socket_stream.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>
#include <ringlet/unique_fd.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace ringlet::extend {

class connect_wait;

}  // namespace ringlet::extend

namespace ringlet {

/// What the kernel has counted and measured for a connection.
struct tcp_statistics {
  /// Bytes that have arrived, whether a call has taken them or not.
  std::uint64_t bytes_received = 0;
  /// Bytes that the peer has acknowledged. That its program has read them is not known.
  std::uint64_t bytes_acknowledged = 0;
  /// The time from a segment to its acknowledgement, smoothed.
  std::chrono::microseconds round_trip{0};
  /// Its mean deviation.
  std::chrono::microseconds round_trip_variation{0};
  /// How many segments were sent again, since the beginning.
  std::uint32_t retransmits = 0;
  /// How many segments are under way.
  std::uint32_t unacknowledged = 0;
  /// How many may be.
  std::uint32_t congestion_window = 0;
};

/// A connected TCP socket: from tcp_listener::accept() or connect(). TCP_NODELAY is on. A
/// socket_stream: see there for the calls that receive, write and close, and for the rules that
/// apply to all of them.
///
/// Kernel    tcp(7).
class tcp_stream : public socket_stream {
 public:
  /// A stream without a connection: every call except close() and abort() aborts the program.
  tcp_stream() noexcept = default;
  /// Takes over a connected stream socket that nothing else uses. Its options stay as they are.
  /// Aborts outside of run(); throws std::bad_alloc.
  explicit tcp_stream(unique_fd fd);

  /// Connects to `peer`, and sets TCP_NODELAY.
  ///
  /// Errors    connection_refused, also if the system connected the socket to itself, which can
  ///           happen if no process listens on a port of the ephemeral range; network_unreachable,
  ///           timed_out (the system's limit, about two minutes), no descriptors (EMFILE), ...;
  ///           errc::timed_out. std::bad_alloc.
  /// Cancellation  Abandons the attempt and closes its socket. Success wins: a connection that was
  ///           made is returned.
  /// Kernel    connect(2).
  static extend::connect_wait connect(const address& peer, time_limit timeout = forever);

  /// Connects to a name or a numeric address with a port or a service: "example.org:443",
  /// "localhost:http", "[::1]:9090". The name is resolved, see resolve(); then its addresses are
  /// tried in order, families alternating, one after another every options.attempt_delay, or at
  /// once when an attempt fails. An attempt that has begun continues beside the later ones; the
  /// first connection is returned, the other attempts are cancelled and their sockets closed. If a
  /// network is unreachable, the other addresses of its family are tried last.
  ///
  /// Errors    std::invalid_argument: see resolve(), and options out of range. std::system_error:
  ///           those of resolve(); if all addresses failed, the error of the first one, with a
  ///           message that lists each address and its error. timed_out, with those that had failed
  ///           by then: the limit covers everything. std::bad_alloc.
  /// Cancellation  Abandons all attempts and closes their sockets. A connection that was made at
  ///           the moment of a kill is closed, too; one made at the moment of the limit is
  ///           returned.
  /// Memory    A fiber for each attempt, and the list of addresses.
  /// Kernel    connect(2); RFC 8305.
  static task<tcp_stream> connect(std::string host_and_service, connect_options options,
                                  time_limit timeout = forever);
  /// The same with the default options.
  static task<tcp_stream> connect(std::string host_and_service, time_limit timeout = forever);

  /// The address and port on this side.
  /// Errors    errc::closed.
  /// Kernel    getsockname(2).
  address local_address() const;
  /// The address and port of the peer.
  /// Errors    not_connected if the peer has already disconnected; errc::closed.
  /// Kernel    getpeername(2).
  address peer_address() const;

  /// TCP_NODELAY: send small writes immediately. On by default.
  /// Errors    Here and in the other set_ calls: errc::closed; what setsockopt(2) reports, for
  ///           instance invalid_argument for a value out of range.
  void set_no_delay(bool on);
  /// SO_KEEPALIVE with the first probe after `idle`, from 1 to 32767 s; zero turns it off.
  void set_keep_alive(std::chrono::seconds idle);
  /// The same, with the time between two probes (TCP_KEEPINTVL), from 1 to 32767 s, and the number
  /// of probes without an answer after which the connection is over (TCP_KEEPCNT), from 1 to 127.
  /// Calls then fail with timed_out.
  void set_keep_alive(std::chrono::seconds idle, std::chrono::seconds interval, int probes);
  /// TCP_USER_TIMEOUT: the connection is over when written bytes have not been acknowledged for
  /// that long, at most about 24 days; calls then fail with timed_out. Rounded up to milliseconds.
  /// Zero, the default: the system decides (15 to 30 minutes).
  /// Errors    invalid_argument for a negative or longer time.
  void set_user_timeout(std::chrono::nanoseconds limit);
  /// SO_LINGER with timeout 0: close() resets the connection and drops unsent data. Off by default.
  void set_reset_on_close(bool on);

  /// What the kernel knows about the connection. dump() prints some of it.
  /// Errors    errc::closed; operation_not_supported if an adopted socket is not TCP.
  /// Kernel    TCP_INFO, see tcp(7).
  tcp_statistics statistics() const;

 private:
  friend struct extend::descriptor_access;
  friend class extend::connect_wait;
  tcp_stream(unique_fd fd, extend::descriptor::family of) : socket_stream(std::move(fd), of) {}
  explicit tcp_stream(extend::descriptor::owner made) noexcept : socket_stream(std::move(made)) {}
};

}  // namespace ringlet

namespace ringlet::extend {

/// See tcp_stream::connect().
class [[nodiscard]] connect_wait : public connecting_wait {
 public:
  connect_wait(const address& peer, time_limit timeout) noexcept
      : connecting_wait(timeout), peer_(peer) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<tcp_stream> take();
  tcp_stream await_resume();

  void describe(std::string& out) const;

 private:
  bool begin(frame_record& at) noexcept;
  static const wait_type type;
  address peer_;
};

}  // namespace ringlet::extend

namespace ringlet {

inline extend::connect_wait tcp_stream::connect(const address& peer, time_limit timeout) {
  return extend::connect_wait(peer, timeout);
}

}  // namespace ringlet
