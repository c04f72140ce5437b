// tcp_listener: a listening TCP port.
//
//     task<> echo(tcp_stream peer) {
//       while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
//     }
//     task<> serve(tcp_listener listener) {
//       for (;;) spawn(echo(co_await listener.accept()));
//     }
//     void start() { spawn(serve(tcp_listener::bind("127.0.0.1:9090", {.backlog = 100}))); }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/extend/accept_wait.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/tcp_stream.hpp>

#include <memory>
#include <string_view>

namespace ringlet::detail {

class listener_shares;

}  // namespace ringlet::detail

namespace ringlet::extend {

using accept_wait = basic_accept_wait<tcp_stream>;

}  // namespace ringlet::extend

namespace ringlet {

/// Options of tcp_listener::bind().
struct listen_options {
  /// How many connections the system holds until they are accepted, at least 0. The system also has
  /// its own limit (net.core.somaxconn), which counts for a negative number, too. See listen(2).
  int backlog = 4096;
  /// SO_REUSEPORT: several listeners share the port, and the system distributes connections among
  /// them. All of them must set it.
  bool reuse_port = false;
  /// SO_REUSEADDR: bind even if connections of an earlier listener still exist.
  bool reuse_address = true;
  /// IPV6_V6ONLY: an IPv6 listener accepts no IPv4 connections.
  bool ipv6_only = false;
};

/// Accepts TCP connections. Movable; destroying it closes it.
///
/// When descriptors, memory or epoll watches run out (EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC,
/// std::bad_alloc), accept() keeps waiting and connections stay in the backlog. It tries again when
/// ringlet closes a descriptor, or else after 10 ms, doubled each time up to 1 s. The first
/// shortage of a listener prints a line to standard error. A connection that failed before it was
/// accepted is skipped.
///
/// Sharing   A listening socket may also be open in other threads and processes. Closing it here
///           does not close it there, and the system chooses which of them accepts a connection.
/// Lifetime  May be moved, closed and destroyed at any time: waits for a connection then end with
///           errc::closed. May outlive its scheduler, and may then only be moved, closed and
///           destroyed.
/// Thread    That of the scheduler on which it was created; calls on another thread abort.
/// Memory    One block, and a queue of connections that were accepted and not taken, about 64 at
///           most, each with a descriptor. Waiting, closing and cancelling do not allocate; each
///           connection does (see tcp_stream).
/// Kernel    socket(7), tcp(7), accept(2).
class tcp_listener {
 public:
  /// Listens on "host:port"; port 0 picks a free port (see local_address()). Numeric, see
  /// address::parse(). Aborts outside of run().
  ///
  /// Errors    std::system_error: address_in_use, address_not_available, permission_denied (ports
  ///           below net.ipv4.ip_unprivileged_port_start, 1024 by default), no descriptors
  ///           (EMFILE), ... std::invalid_argument: see address::parse(). std::bad_alloc.
  static tcp_listener bind(std::string_view host_and_port, const listen_options& options = {});
  /// The same for an address that was parsed.
  static tcp_listener bind(const address& where, const listen_options& options = {});
  /// Takes over a listening socket, for instance from a service manager. Other threads and
  /// processes may listen on it, too, each through its own duplicate (dup(2)). So this listener
  /// accepts one connection at a time, and only while a fiber waits for one; an idle listener
  /// elsewhere gets the next. That costs some throughput: if each thread can have its own socket,
  /// prefer bind() with reuse_port. On epoll the socket becomes non-blocking for every thread and
  /// process that shares it. On both engines its TCP_NODELAY is set, which connections inherit.
  /// Aborts outside of run(); throws std::bad_alloc.
  explicit tcp_listener(unique_fd fd);

  /// Waits for the next connection and returns it, as a tcp_stream. Several fibers may wait; they
  /// are served in arrival order. May be a part of a select().
  ///
  /// Errors    errc::closed if the listener is closed. errc::timed_out. Permanent system errors
  ///           (EPERM or EACCES from a security policy, EINVAL if the socket does not listen, ...);
  ///           every further call tries again.
  /// Cancellation  Loses nothing: no connection is lost. Success wins: a fiber that was given a
  ///           connection gets it, and is interrupted at the next wait.
  extend::accept_wait accept(time_limit timeout = forever) {
    return extend::accept_wait(checked(), timeout);
  }

  /// Accepts no more connections. accept() still returns those that were accepted before, and then
  /// fails with errc::closed. New ones stay in the system's queue: for another process that listens
  /// on the same socket, or until close() resets them. Idempotent; does not wait.
  void stop() noexcept;
  /// Stops listening. Waiting fibers get errc::closed. Closes accepted connections that no fiber
  /// has taken, then the descriptor. Idempotent; only the first call waits.
  ///
  /// Errors    None.
  /// Cancellation  A close that has begun is not cancelled: a kill is thrown at the next wait. A
  ///           kill that was pending before is thrown instead of closing, and so is `cancelled` in
  ///           a scope that was cancelled; the destructor closes.
  extend::close_listener_wait close() noexcept;

  /// The address and port that it listens on.
  /// Errors    std::system_error with bad_file_descriptor once it is closed.
  address local_address() const;
  /// The descriptor, or -1 once closed. The listener keeps ownership.
  int native_handle() const noexcept;

 private:
  friend class detail::listener_shares;
  struct releaser {
    void operator()(detail::listener_state* released) const noexcept;
  };
  detail::listener_state& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "a listener that was moved from was used");
    return *state_;
  }

  tcp_listener(unique_fd fd, extend::descriptor::family of);

  std::unique_ptr<detail::listener_state, releaser> state_;
};

}  // namespace ringlet
