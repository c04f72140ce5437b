// standard_streams: standard input and output, be they terminals, pipes, sockets or regular files.
//
//     task<> copy() {
//       standard_stream in = standard_input(), out = standard_output();
//       reader lines(in);
//       while (const auto line = co_await lines.read_line()) {
//         co_await out.write_all(std::string(*line) + '\n');
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/plain_waits.hpp>
#include <ringlet/extend/stream_waits.hpp>

#include <cstddef>
#include <span>
#include <string_view>

namespace ringlet {

/// A descriptor that the program was started with. A byte_stream. Fibers wait for it as they do for
/// a socket. The descriptor stays open when the object is destroyed, and O_NONBLOCK is never set on
/// it, because other processes share it. Movable.
///
/// Overlap   One read and one write may be in flight at the same time, through one object.
/// Signals   Writing to a pipe without a reader raises SIGPIPE, as usual.
/// Errors    std::system_error with the system's errno, or as_result(): bad_file_descriptor if the
///           program was started without it, broken_pipe where SIGPIPE is ignored, ...;
///           errc::timed_out. The end is a value, not an error.
/// Cancellation  receive(), readable() and read_some() lose nothing. write_all() and read_exact()
///           may be cut short in the middle; that direction then fails with
///           errc::partial_transfer. See socket_stream.
/// Lifetime  Memory is borrowed until the co_await returns. The object may be moved and destroyed
///           at any time: calls in flight then end with errc::closed. It must outlive its reader.
/// Thread    That of the scheduler on which it was created; calls on another thread abort. Making
///           one outside of run() aborts.
/// Memory    One block of about 150 bytes. receive() allocates a buffer of
///           options.sizes.buffer_size bytes while it waits, and write_all() of several pieces a
///           list.
/// Kernel    read(2), write(2).
class standard_stream {
 public:
  /// See standard_input() and standard_output(). `fd` is borrowed. Throws std::bad_alloc.
  explicit standard_stream(int fd)
      : state_(extend::descriptor::make(fd, extend::descriptor::kind::borrowed)) {}

  /// Waits for bytes and returns them in a buffer; an empty one at the end of file, or for Ctrl-D
  /// on a terminal.
  extend::plain_receive_wait receive(const time_limit& timeout = forever) {
    return extend::plain_receive_wait(*state_, timeout);
  }
  /// Waits until a read would return immediately: true, or false if the limit passed first. Takes
  /// nothing, but another process may take the bytes. May be a part of a select(). A regular file
  /// is always readable.
  extend::plain_readable_wait readable(const time_limit& timeout = forever) {
    return extend::plain_readable_wait(*state_, timeout);
  }
  /// Waits for bytes and stores them at the front of `memory`, which must not be empty. Returns
  /// their number, at least 1; 0 at the end of file, or for Ctrl-D on a terminal.
  extend::read_some_wait read_some(std::span<std::byte> memory, time_limit timeout = forever) {
    return extend::read_some_wait(*state_, extend::opcode::read, memory, timeout);
  }
  /// Fills `memory`. errc::end_of_stream if the stream ends first: the bytes that arrived are at
  /// the front.
  extend::read_exact_wait read_exact(std::span<std::byte> memory, time_limit timeout = forever) {
    return extend::read_exact_wait(*state_, extend::opcode::read, memory, timeout);
  }
  /// Writes all bytes, in as many steps as necessary.
  extend::write_all_wait write_all(std::span<const std::byte> bytes, time_limit timeout = forever) {
    return extend::write_all_wait(*state_, extend::opcode::write, bytes, timeout);
  }
  /// The same for text.
  extend::write_all_wait write_all(std::string_view text, time_limit timeout = forever) {
    return write_all(std::as_bytes(std::span(text)), timeout);
  }
  /// The same for received bytes. The buffer must live until the co_await returns.
  extend::write_all_wait write_all(const buffer& data, time_limit timeout = forever) {
    return write_all(data.bytes(), timeout);
  }
  /// Writes several pieces one after the other. The list is copied; the bytes are borrowed.
  extend::gather_wait write_all(std::span<const std::span<const std::byte>> parts,
                                time_limit timeout = forever) {
    return extend::gather_wait(*state_, extend::opcode::write, parts, timeout);
  }

  /// Does nothing: the reader sees the end when every process has closed the descriptor.
  void shutdown_write() noexcept {}
  /// Ends the calls in flight with errc::closed, and refuses later ones. The descriptor stays open.
  void abort() noexcept { state_->close(nullptr); }
  /// The same, and waits for the end of the calls. Idempotent.
  close_wait close() noexcept { return close_wait(state_.get()); }

  /// The descriptor, or -1 once close() has begun.
  int native_handle() const noexcept { return state_->fd(); }

 private:
  friend class reader;
  extend::descriptor::owner state_;
};

/// Descriptor 0. Make one object and keep it: two objects do not know of each other's reads.
inline standard_stream standard_input() { return standard_stream(0); }
/// Descriptor 1.
inline standard_stream standard_output() { return standard_stream(1); }

}  // namespace ringlet
