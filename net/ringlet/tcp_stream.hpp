// tcp_stream: one end of a TCP connection.
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/descriptor.hpp>
#include <ringlet/operation_wait.hpp>
#include <ringlet/stream_waits.hpp>
#include <ringlet/unique_fd.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ringlet {

class connect_wait;

/// A connected TCP socket: from tcp_listener::accept() or connect(). TCP_NODELAY is on.
///
/// True of every call, and not repeated there:
///
///   Overlap       One read and one write may be in flight together. A second read during a read,
///                 or a second write during a write, is the caller's bug and aborts.
///   Lifetime      Memory is borrowed until the co_await returns. The stream may be moved, closed
///                 and destroyed at any time: what is in flight then ends with errc::closed.
///   Errors        std::system_error with the errno of the system, or as_result(). A peer that went
///                 away: connection_reset, broken_pipe, timed_out (keepalive, TCP_USER_TIMEOUT).
///                 Closed on this side: errc::closed. The limit passed: errc::timed_out.
///   Cancellation  read_some() and receive() lose nothing: call again. write_all() and read_exact()
///                 may be cut short in the middle; then their direction is unusable, further calls
///                 there fail with errc::cut_short, and bytes_read() or bytes_written() tells how
///                 far it came. The limit counts as a cancellation.
///   Thread        That of the scheduler it was made on.
///
/// Signals: a write to a peer that is gone never raises SIGPIPE.
/// See tcp(7), recv(2), send(2).
class tcp_stream {
 public:
  /// No connection; every call but close() and abort() ends the program.
  tcp_stream() noexcept = default;
  /// Takes over a connected stream socket that has no other user. Throws std::bad_alloc.
  explicit tcp_stream(unique_fd fd);

  /// Connects to `peer`. `co_await tcp_stream::connect(address::parse("127.0.0.1:9090"), 5s)`.
  /// Errors        connection_refused, also when the system has connected the socket to itself, as
  ///               may happen where no process listens on a port that is meant for clients;
  ///               network_unreachable, no descriptors (EMFILE), ...
  /// Cancellation  The attempt is given up and its socket closed.
  static connect_wait connect(const address& peer, until limit = forever);

  explicit operator bool() const noexcept { return state_ != nullptr; }

  /// Waits for bytes and lends them: at most options.sizes.buffer_size. An empty buffer, again and
  /// again, is the end of the stream. While it waits, the connection holds no memory for it. What
  /// arrives between two calls is kept in a few buffers: 5, or what one burst fills; then the
  /// system keeps it, and TCP slows the peer down.
  receive_wait receive(const until& limit = forever) { return receive_wait(checked(), limit); }

  /// Waits until receive() or read_some() would not have to: for bytes, the end of the stream or an
  /// error; takes nothing. False when the limit passed first. It can be a part of a select(), where
  /// those cannot. (What a reader has buffered is not looked at.)
  readable_wait readable(const until& limit = forever) { return readable_wait(checked(), limit); }

  /// Waits for bytes and puts them at the front of `memory`, which must not be empty. Returns how
  /// many, at least 1; or 0, on every call, at the end of the stream.
  read_some_wait read_some(std::span<std::byte> memory, const until& limit = forever) {
    return read_some_wait(checked(), opcode::recv, memory, limit);
  }

  /// Fills `memory`. errc::end_of_stream when the stream ends before that: what came is in front,
  /// and bytes_read() tells how much.
  read_exact_wait read_exact(std::span<std::byte> memory, const until& limit = forever) {
    return read_exact_wait(checked(), opcode::recv, memory, limit);
  }

  /// Writes all bytes, in as many steps as it takes; they are then in the system's hands, not yet
  /// the peer's.
  write_all_wait write_all(std::span<const std::byte> bytes, const until& limit = forever) {
    return write_all_wait(checked(), opcode::send, bytes, limit);
  }
  write_all_wait write_all(std::string_view text, const until& limit = forever) {
    return write_all(std::as_bytes(std::span(text)), limit);
  }
  write_all_wait write_all(const buffer& data, const until& limit = forever) {
    return write_all(data.bytes(), limit);
  }
  /// Writes several pieces as if they were one. The list is copied, the bytes are borrowed.
  gather_wait write_all(std::span<const std::span<const std::byte>> parts,
                        const until& limit = forever) {
    return gather_wait(checked(), parts, limit);
  }

  /// Tells the peer that no more will be written; reading still works. Does not wait.
  /// Errors        not_connected when the connection is over: the peer has reset it, and what was
  ///               written may be lost, or both sides had ended it. errc::closed.
  void shutdown_write();
  /// Ends the connection: what is in flight ends with errc::closed, then the descriptor is closed.
  /// Bytes written before still reach the peer, unless it has sent some that were not read: then
  /// TCP resets the connection. Closing twice is fine; only the first call waits. The destructor
  /// does the same without waiting, and at once, so that the number can be used again: this takes
  /// the system about 10 microseconds for each stream. To drop thousands, await close() of each:
  /// other fibers run in between.
  close_wait close() noexcept { return close_wait(state_.get()); }
  /// Ends the connection at once, with a reset: the peer's calls fail with connection_reset, and
  /// bytes that it has not received yet are dropped. What is in flight here ends with errc::closed
  /// (a call that has what it waits for delivers it), then the descriptor is closed. Does not wait,
  /// so destructors and callbacks may call it. During a close() it makes that end with a reset;
  /// afterwards, or without a connection, it does nothing.
  void abort() noexcept {
    if (state_) state_->abort();
  }

  address local_address() const;
  /// Errors  not_connected when the peer is gone already.
  address peer_address() const;

  /// TCP_NODELAY: send small writes at once. On unless switched off.
  void set_no_delay(bool on);
  /// SO_KEEPALIVE with a first probe after `idle`; zero switches it off.
  void set_keep_alive(std::chrono::seconds idle);
  /// SO_RCVBUF and SO_SNDBUF: the sizes of the system's buffers in bytes; it doubles what is asked
  /// for and has limits of its own (socket(7)).
  void set_receive_buffer(int bytes);
  void set_send_buffer(int bytes);
  /// With zero: close() resets the connection and drops what was not sent. Off unless set.
  void set_reset_on_close(bool on);

  /// Bytes that went through read and write calls so far.
  std::uint64_t bytes_read() const noexcept { return checked().count(direction::read); }
  std::uint64_t bytes_written() const noexcept { return checked().count(direction::write); }

  /// The descriptor, for calls that are not wrapped here, or -1 once closed. Stays owned. Do not
  /// read from it after a receive(): its request may go on and take what comes.
  int native_handle() const noexcept { return state_ ? state_->fd() : -1; }

 private:
  friend class accept_wait;
  friend class reader;
  friend class connect_wait;
  tcp_stream(unique_fd fd, descriptor::family of);
  explicit tcp_stream(descriptor::owner made) noexcept : state_(std::move(made)) {}
  descriptor& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "a stream without a connection (moved from) was used");
    return *state_;
  }
  void check(std::int32_t answer, const std::string& call, const char* why) const;
  void set_option(int level, int name, int value, const char* what);

  descriptor::owner state_;
};

/// See tcp_stream::connect().
class [[nodiscard]] connect_wait : public operation_wait {
 public:
  connect_wait(const address& peer, until limit) noexcept
      : operation_wait(opcode::connect, &operation_wait::on_done, limit), peer_(peer) {}

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
  unique_fd socket_;
};

inline connect_wait tcp_stream::connect(const address& peer, until limit) {
  return connect_wait(peer, limit);
}

}  // namespace ringlet
