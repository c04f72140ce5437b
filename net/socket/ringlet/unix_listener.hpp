// unix_listener: a Unix socket that waits for connections.
//
//     task<> answer(unix_stream peer) {
//       while (buffer data = co_await peer.receive(5s)) co_await peer.write_all(data, 5s);
//     }
//     task<> serve(unix_address where) {
//       auto listener = unix_listener::bind(where, {.permissions = 0660});
//       for (;;) spawn(answer(co_await listener.accept()));
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/accept_wait.hpp>
#include <ringlet/unix_address.hpp>
#include <ringlet/unix_stream.hpp>

#include <memory>
#include <string_view>

namespace ringlet::extend {

using unix_accept_wait = basic_accept_wait<unix_stream>;

}  // namespace ringlet::extend

namespace ringlet {

/// Options of unix_listener::bind().
struct unix_listen_options {
  /// How many connections the system holds until they are accepted, at least 0. Beyond that,
  /// connect() waits. The system also has its own limit (net.core.somaxconn).
  int backlog = 4096;
  /// The permissions of the socket's file, such as 0660: who may write to it may connect. -1: 0777
  /// without the bits of umask(2). No meaning for an abstract name.
  int permissions = -1;
};

/// Accepts connections of processes on this machine. Movable; destroying it closes it. Shortages
/// are handled as by tcp_listener.
///
/// Files     bind() removes a stale file that a killed program has left: a socket to which
///           connecting is refused. It never removes a socket that is in use, or a file of another
///           type. Closing removes the file, unless another one has taken its place. Of two ringlet
///           programs that bind the same path at the same moment, one gets it; the other gets
///           address_in_use. A program that is not made with ringlet should not be between its
///           bind(2) and listen(2) at that moment: its socket looks stale then. If the process
///           that made the socket has ended, and the socket is still in use, bind() blocks its
///           thread for up to 0.1 s: the kernel may still be closing what a killed program had
///           open.
/// Lifetime  May be moved, closed and destroyed at any time: waits for a connection then end with
///           errc::closed. May outlive its scheduler, and may then only be moved, closed and
///           destroyed. A child of fork() does not remove the file.
/// Thread    That of the scheduler on which it was created; calls on another thread abort.
/// Memory    As tcp_listener; and its path.
/// Kernel    unix(7), accept(2).
class unix_listener {
 public:
  /// Listens on a path or an abstract name: see unix_address::parse(). A relative path should stay
  /// valid: the file is only removed if the working directory has not changed. Aborts outside of
  /// run().
  ///
  /// Errors    address_in_use, permission_denied, no_such_file_or_directory, no descriptors
  ///           (EMFILE), ...; those of unix_address::parse(). std::bad_alloc.
  static unix_listener bind(std::string_view where, const unix_listen_options& options = {});
  /// The same for an address that was parsed.
  static unix_listener bind(const unix_address& where, const unix_listen_options& options = {});
  /// Takes over a listening socket, as tcp_listener does. Its file stays when it is closed.
  explicit unix_listener(unique_fd fd);

  /// Waits for the next connection and returns it, as a unix_stream. Several fibers may wait; they
  /// are served in arrival order. May be a part of a select().
  ///
  /// Errors    errc::closed if the listener is closed. errc::timed_out. Permanent system errors, as
  ///           for tcp_listener.
  /// Cancellation  Loses nothing: no connection is lost. Success wins.
  extend::unix_accept_wait accept(time_limit timeout = forever) {
    return extend::unix_accept_wait(checked(), timeout);
  }

  /// Accepts no more connections. accept() still returns those that were accepted before, and then
  /// fails with errc::closed. New ones stay in the system's queue: for another process that listens
  /// on the same socket, or until close() resets them. Idempotent; does not wait.
  void stop() noexcept;
  /// Removes the file and stops listening. Waiting fibers get errc::closed. Closes accepted
  /// connections that no fiber has taken, then the descriptor. Idempotent; only the first call
  /// waits.
  ///
  /// Errors    None.
  /// Cancellation  As for tcp_listener::close().
  extend::close_listener_wait close() noexcept;

  /// Where it listens.
  /// Errors    bad_file_descriptor once it is closed.
  unix_address local_address() const;
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

  unix_listener(unique_fd fd, extend::descriptor::family of);

  std::unique_ptr<detail::listener_state, releaser> state_;
};

}  // namespace ringlet
