// unix_stream: one end of a connection between two processes of this machine.
//
//     task<std::string> ask(unix_address service, uid_t owner, std::string_view question) {
//       unix_stream peer = co_await unix_stream::connect(service, 5s);
//       if (peer.credentials().uid != owner) throw std::runtime_error("this is not the service");
//       co_await peer.write_all(question, 5s);
//       peer.shutdown_write();
//       std::string answer;
//       while (buffer data = co_await peer.receive(30s)) answer += data.text();
//       co_return answer;
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/connecting_wait.hpp>
#include <ringlet/extend/descriptor_waits.hpp>
#include <ringlet/socket_stream.hpp>
#include <ringlet/unix_address.hpp>

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

namespace ringlet::extend {

class unix_connect_wait;

}  // namespace ringlet::extend

namespace ringlet {

/// Who is at the other end of a Unix socket, according to the kernel.
struct peer_credentials {
  /// The process that called connect(), listen() or pair(). It may have ended, and another process
  /// may have its number; or it has passed the socket on.
  pid_t pid = 0;
  /// Its effective user at that time.
  uid_t uid = 0;
  /// Its effective group at that time.
  gid_t gid = 0;
};

/// A connected Unix stream socket: from unix_listener::accept(), connect() or pair(). A
/// socket_stream: see there for the calls that receive, write and close, and for the rules that
/// apply to all of them.
///
/// Kernel    unix(7). On io_uring each receive is a request of its own: with requests that serve
///           several receives, the kernel sometimes does not report the end of a Unix stream.
class unix_stream : public socket_stream {
 public:
  /// A stream without a connection: every call except close() and abort() aborts the program.
  unix_stream() noexcept = default;
  /// Takes over a connected stream socket that nothing else uses. Its options stay as they are.
  /// Aborts outside of run(); throws std::bad_alloc.
  explicit unix_stream(unique_fd fd);

  /// Connects to `peer`. Waits while the queue of the listener is full.
  ///
  /// Errors    connection_refused if nothing listens there any more, no_such_file_or_directory,
  ///           permission_denied, wrong_protocol_type if a unix_datagram has that address, no
  ///           descriptors (EMFILE), ...; errc::timed_out. std::bad_alloc.
  /// Cancellation  Abandons the attempt and closes its socket. Success wins: a connection that was
  ///           made is returned.
  /// Kernel    connect(2).
  static extend::unix_connect_wait connect(const unix_address& peer, time_limit timeout = forever);
  /// The same for an address as text: see unix_address::parse().
  static extend::unix_connect_wait connect(std::string_view peer, time_limit timeout = forever);

  /// Makes two streams that are connected to each other, for two fibers or for a child process.
  /// Errors    No descriptors (EMFILE), ... std::bad_alloc. Aborts outside of run().
  /// Kernel    socketpair(2).
  static std::pair<unix_stream, unix_stream> pair();

  /// The address on this side; that of a client is usually unnamed.
  /// Errors    errc::closed.
  /// Kernel    getsockname(2).
  unix_address local_address() const;
  /// The address of the peer.
  /// Errors    not_connected; errc::closed.
  /// Kernel    getpeername(2).
  unix_address peer_address() const;

  /// Who the peer is. The kernel vouches for the answer.
  /// Errors    errc::closed.
  /// Kernel    SO_PEERCRED, see unix(7).
  peer_credentials credentials() const;

  /// Writes all of `bytes`, at least 1, and duplicates of the descriptors `sent`, 1 to 253, for the
  /// peer. They arrive together with the first byte. The caller keeps its descriptors, and may
  /// close them when the call has returned. The list is copied; the bytes are borrowed.
  ///
  /// Errors    bad_file_descriptor if one of `sent` is not open; too_many_references
  ///           (ETOOMANYREFS) if more descriptors are under way than this process may have open;
  ///           those of write_all(). std::invalid_argument for another number of descriptors is
  ///           thrown by the call itself.
  /// Cancellation  Like write_all(): if it stops in the middle, the direction is unusable.
  extend::send_descriptors_wait send_descriptors(std::span<const int> sent,
                                                 std::span<const std::byte> bytes,
                                                 const time_limit& timeout = forever) {
    return extend::send_descriptors_wait(checked(), sent, bytes, timeout);
  }
  /// The same for text.
  extend::send_descriptors_wait send_descriptors(std::span<const int> sent, std::string_view text,
                                                 const time_limit& timeout = forever) {
    return send_descriptors(sent, std::as_bytes(std::span(text)), timeout);
  }

  /// Waits for bytes, stores them at the front of `memory`, which must not be empty, and the
  /// descriptors that came with them at the front of `received`. They are closed on exec. Returns
  /// both numbers; 0 bytes mean the end of the stream. One call returns the descriptors of at most
  /// one send_descriptors(). Every other call that reads closes descriptors that come with its
  /// bytes, and so does readable(): a peer that sends descriptors when no one expects them does no
  /// harm.
  ///
  /// Errors    message_size if more descriptors came than `received` has room for;
  ///           too_many_files_open if the limit of this process allows no more. All of them are
  ///           then closed, their bytes are lost, and further reads fail with
  ///           errc::partial_transfer.
  /// Cancellation  Loses nothing: call again.
  extend::receive_descriptors_wait receive_descriptors(std::span<std::byte> memory,
                                                       std::span<unique_fd> received,
                                                       const time_limit& timeout = forever) {
    return extend::receive_descriptors_wait(checked(), memory, received, timeout);
  }

 private:
  friend struct extend::descriptor_access;
  friend class extend::unix_connect_wait;
  explicit unix_stream(extend::descriptor::owner made) noexcept : socket_stream(std::move(made)) {}
};

}  // namespace ringlet

namespace ringlet::extend {

/// See unix_stream::connect().
class [[nodiscard]] unix_connect_wait final : public connecting_wait {
 public:
  unix_connect_wait(const unix_address& peer, time_limit timeout) noexcept
      : connecting_wait(timeout), peer_(peer) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_connect(type, caller.promise(), {AF_UNIX, 0, peer_.data(), peer_.size()});
  }
  result<unix_stream> take();
  unix_stream await_resume();
  void describe(std::string& out) const;

 private:
  static const wait_type type;
  unix_address peer_;
};

}  // namespace ringlet::extend

namespace ringlet {

inline extend::unix_connect_wait unix_stream::connect(const unix_address& peer,
                                                      time_limit timeout) {
  return extend::unix_connect_wait(peer, timeout);
}
inline extend::unix_connect_wait unix_stream::connect(std::string_view peer, time_limit timeout) {
  return connect(unix_address::parse(peer), timeout);
}

}  // namespace ringlet
