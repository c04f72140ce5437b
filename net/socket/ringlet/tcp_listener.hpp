// tcp_listener: a listening TCP port.
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/extend/accept_wait.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/tcp_stream.hpp>

#include <memory>
#include <string_view>

namespace ringlet {

/// Options of tcp_listener::bind().
struct listen_options {
  /// How many connections the system holds until they are accepted. The system also has its own
  /// limit (net.core.somaxconn).
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
/// Sharing: a listening socket may also be open in other threads and processes. Closing it here
/// does not close it there, and the system chooses which of them accepts a connection.
///
/// Thread    The thread of the scheduler on which it was created.
class tcp_listener {
 public:
  /// Listens on "host:port"; port 0 picks a free port (see local_address()). Numeric, see
  /// address::parse().
  /// Errors    address_in_use, address_not_available, permission_denied (ports below 1024), ...
  static tcp_listener bind(std::string_view host_and_port, const listen_options& options = {});
  static tcp_listener bind(const address& where, const listen_options& options = {});
  /// Takes over a listening socket, for instance from a service manager. Other threads and
  /// processes may listen on it, too, each through its own duplicate (dup(2)). So this listener
  /// accepts one connection at a time, and only while a fiber waits for one; an idle listener
  /// elsewhere gets the next. That costs some throughput: if each thread can have its own socket,
  /// prefer bind() with reuse_port. On epoll the socket becomes non-blocking for every thread and
  /// process that shares it.
  explicit tcp_listener(unique_fd fd);

  /// Waits for the next connection. Several fibers may wait; they are served in arrival order.
  /// Errors    errc::closed if the listener is closed. errc::timed_out. Permanent system errors
  ///           (EPERM or EACCES from a security policy, EINVAL if the socket does not listen, ...);
  ///           every further call tries again.
  /// Cancellation  No connection is lost.
  extend::accept_wait accept(time_limit timeout = forever) {
    return extend::accept_wait(checked(), timeout);
  }

  /// Stops listening. Waiting fibers get errc::closed. Closes accepted connections that no fiber
  /// has taken, then the descriptor. Idempotent.
  extend::close_listener_wait close() noexcept;

  address local_address() const;
  /// The descriptor, or -1 once closed. The listener keeps ownership.
  int native_handle() const noexcept;

 private:
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
