// socket_stream: the calls that connected sockets have in common.
//
//     task<> echo(socket_stream& peer) {
//       while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/stream_waits.hpp>
#include <ringlet/unique_fd.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace ringlet {

/// A connected stream socket: what tcp_stream and unix_stream have in common. A byte_stream.
///
/// These rules apply to every call:
///
/// Overlap   One read and one write may be in flight at the same time. A second read during a read,
///           or a second write during a write, is the caller's bug and aborts.
/// Signals   A write to a disconnected peer never raises SIGPIPE.
/// Errors    std::system_error with the system's errno, or as_result(). The peer has disconnected:
///           connection_reset, broken_pipe, or ETIMEDOUT (it no longer answers: keep-alive, user
///           timeout); is_disconnect() is true of these. Closed on this side: errc::closed, of
///           which it is true, too. A limit of the call: errc::timed_out, of which it is false. The
///           end of the stream is a value, not an error.
/// Cancellation  receive(), readable() and read_some() lose nothing: call again. write_all() and
///           read_exact() may be cut short in the middle. That direction is then unusable: further
///           calls fail with errc::partial_transfer, and bytes_read() or bytes_written() tells how
///           far the call got. A timeout counts as a cancellation.
/// Lifetime  Memory is borrowed until the co_await returns. The stream may be moved, closed and
///           destroyed at any time. Calls in flight end with errc::closed when it is closed or
///           destroyed. It may outlive its scheduler, and may then only be moved, closed and
///           destroyed.
/// Thread    That of the scheduler on which the stream was created; calls on another thread abort.
/// Memory    One block of about 150 bytes. Calls do not allocate, except write_all() of several
///           pieces, and receive() when all buffers are lent.
/// Kernel    recv(2), send(2).
class socket_stream {
 public:
  /// Whether it has, or had, a connection: true after close(), false once moved from.
  explicit operator bool() const noexcept { return state_ != nullptr; }

  /// Waits for bytes and returns them in a buffer that is lent, at most options.sizes.buffer_size
  /// bytes. At the end of the stream every call returns an empty buffer. A waiting connection holds
  /// no memory for received bytes. Bytes that arrive between two calls are kept in a few buffers:
  /// 5, or as many as one burst fills. Beyond that they stay in the system, which slows the peer
  /// down.
  extend::receive_wait receive(const time_limit& timeout = forever) {
    return extend::receive_wait(checked(), timeout);
  }

  /// Waits until receive() or read_some() would return immediately: for bytes, the end of the
  /// stream or an error, which the next of those calls reports. Takes nothing. Returns true, or
  /// false if the limit passed first. Unlike those calls, readable() can be part of a select(). (It
  /// does not see bytes that a reader has buffered.)
  extend::readable_wait readable(const time_limit& timeout = forever) {
    return extend::readable_wait(checked(), timeout);
  }

  /// Waits for bytes and stores them at the front of `memory`, which must not be empty. Returns
  /// their number, at least 1. At the end of the stream every call returns 0.
  extend::read_some_wait read_some(std::span<std::byte> memory,
                                   const time_limit& timeout = forever) {
    return extend::read_some_wait(checked(), extend::opcode::recv, memory, timeout);
  }

  /// Fills `memory`, which may be empty. errc::end_of_stream if the stream ends first: the bytes
  /// that arrived are at the front, and bytes_read() tells how many.
  extend::read_exact_wait read_exact(std::span<std::byte> memory,
                                     const time_limit& timeout = forever) {
    return extend::read_exact_wait(checked(), extend::opcode::recv, memory, timeout);
  }

  /// Writes all bytes, in as many steps as necessary. When it returns, the system has them, but not
  /// necessarily the peer. Without bytes it returns at once, even if the stream is closed.
  extend::write_all_wait write_all(std::span<const std::byte> bytes,
                                   const time_limit& timeout = forever) {
    return extend::write_all_wait(checked(), extend::opcode::send, bytes, timeout);
  }
  /// The same for text.
  extend::write_all_wait write_all(std::string_view text, const time_limit& timeout = forever) {
    return write_all(std::as_bytes(std::span(text)), timeout);
  }
  /// The same for received bytes. The buffer must live until the co_await returns.
  extend::write_all_wait write_all(const buffer& data, const time_limit& timeout = forever) {
    return write_all(data.bytes(), timeout);
  }
  /// Writes several pieces as if they were one. The list is copied, which allocates 16 bytes a
  /// piece and may throw std::bad_alloc; the bytes are borrowed.
  extend::gather_wait write_all(std::span<const std::span<const std::byte>> parts,
                                const time_limit& timeout = forever) {
    return extend::gather_wait(checked(), extend::opcode::send_message, parts, timeout);
  }

  /// Ends the write direction: the peer sees the end of the stream. Reading still works. Does not
  /// wait.
  ///
  /// Errors    not_connected if the connection is over: the peer has reset it, and written bytes
  ///           may be lost, or both sides have ended it. errc::closed.
  /// Kernel    shutdown(2).
  void shutdown_write();
  /// Ends the connection: calls in flight end with errc::closed, then the descriptor is closed.
  /// Bytes already written still reach the peer, unless it has sent bytes that were not read: then
  /// the connection is reset. Idempotent; only the first call waits. The destructor does the same
  /// without waiting, and closes immediately, so that the descriptor number can be reused: this
  /// takes the system about 10 microseconds per stream. To drop thousands of streams, await close()
  /// of each, so that other fibers run in between.
  ///
  /// Errors    None.
  /// Cancellation  A close that has begun is not cancelled: a kill is thrown at the next wait. A
  ///           kill that was pending before is thrown instead of closing, and so is `cancelled` in
  ///           a scope that was cancelled; the destructor closes.
  close_wait close() noexcept { return close_wait(state_.get()); }
  /// Ends the connection immediately, on TCP with a reset: the peer's calls fail with
  /// connection_reset, and bytes that it has not received yet are dropped. (The peer of a Unix
  /// socket receives them, and then the end of the stream.) Calls in flight here end with
  /// errc::closed (a call that has already succeeded delivers its result), then the descriptor is
  /// closed. Does not wait, so destructors and callbacks may call it. During a close(), it turns
  /// the close into a reset; after a close, or without a connection, it does nothing.
  void abort() noexcept {
    if (state_) state_->abort();
  }

  /// Gives the descriptor away without closing it: to another scheduler, where the constructor of
  /// the stream takes it over, or to code that is not ringlet's. Before the first receive() or
  /// readable(), whose request may stay in flight; a caller that has called them, or that has a
  /// call in flight, aborts. Afterwards the stream is closed.
  ///
  /// Errors    errc::closed if it was closed before.
  unique_fd release();

  /// SO_RCVBUF: the size of the system's receive buffer in bytes. The system doubles the value and
  /// has its own limits (socket(7)).
  void set_receive_buffer(int bytes);
  /// SO_SNDBUF: the same for the send buffer.
  void set_send_buffer(int bytes);

  /// How many bytes this stream's calls have read so far.
  std::uint64_t bytes_read() const noexcept { return checked().count(extend::direction::read); }
  /// How many bytes they have written, that is, handed to the system.
  std::uint64_t bytes_written() const noexcept { return checked().count(extend::direction::write); }

  /// The descriptor, for system calls that ringlet does not wrap, or -1 once closed. The stream
  /// keeps ownership. Do not read from it after a receive(): a receive request may still be in
  /// flight and take the next bytes.
  int native_handle() const noexcept { return state_ ? state_->fd() : -1; }

 protected:
  friend struct extend::descriptor_access;
  socket_stream() noexcept = default;
  /// Takes over a connected stream socket. Throws std::bad_alloc, and then closes `fd`.
  socket_stream(unique_fd fd, extend::descriptor::family of);
  explicit socket_stream(extend::descriptor::owner made) noexcept : state_(std::move(made)) {}
  socket_stream(socket_stream&&) noexcept = default;
  socket_stream& operator=(socket_stream&&) noexcept = default;
  ~socket_stream() = default;

  extend::descriptor& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "a stream without a connection (moved from) was used");
    return *state_;
  }
  /// Throws the error of a call that the kernel answers immediately; `why` explains EINVAL.
  void check(std::int32_t answer, const std::string& call, const char* why) const;
  void set_option(int level, int name, int value, const char* what);

 private:
  extend::descriptor::owner state_;
};

}  // namespace ringlet
