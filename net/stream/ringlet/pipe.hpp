// pipe: pipe_reader and pipe_writer, the two ends of a pipe.
//
//     task<std::string> through_a_pipe(std::string_view text) {
//       auto [in, out] = make_pipe();
//       co_await out.write_all(text);
//       co_await out.close();
//       std::string all;
//       while (buffer data = co_await in.receive()) all += data.text();
//       co_return all;
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/plain_waits.hpp>
#include <ringlet/extend/stream_waits.hpp>
#include <ringlet/unique_fd.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace ringlet {

/// The end of a pipe that is read. A byte_source: see there for the rules of its calls. Movable;
/// destroying it closes it.
///
/// Errors    std::system_error with the system's errno, or as_result(); errc::closed,
///           errc::timed_out. The end is a value.
/// Cancellation  receive(), readable() and read_some() lose nothing. read_exact() may be cut short
///           in the middle; reads then fail with errc::partial_transfer.
/// Lifetime  Memory is borrowed until the co_await returns. It may be moved, closed and destroyed
///           at any time: calls in flight then end with errc::closed.
/// Thread    That of the scheduler on which it was created; calls on another thread abort.
/// Memory    One block of about 150 bytes. receive() allocates a buffer of
///           options.sizes.buffer_size bytes while it waits.
/// Kernel    pipe(7), read(2).
class pipe_reader {
 public:
  /// Takes over a descriptor that can be read and nothing else uses. O_NONBLOCK is not set on it.
  /// Aborts outside of run(); throws std::bad_alloc, and then closes `fd`.
  explicit pipe_reader(unique_fd fd)
      : state_(extend::descriptor::make(fd.get(), extend::descriptor::kind::shared,
                                        extend::descriptor::family::other)) {
    [[maybe_unused]] const int owned_now = fd.release();
  }

  /// Waits for bytes and returns them in a buffer; an empty one at the end, when no process has the
  /// other end open.
  extend::plain_receive_wait receive(const time_limit& timeout = forever) {
    return extend::plain_receive_wait(checked(), timeout);
  }
  /// Waits until a read would return immediately: true, or false if the limit passed first. Takes
  /// nothing. May be a part of a select().
  extend::plain_readable_wait readable(const time_limit& timeout = forever) {
    return extend::plain_readable_wait(checked(), timeout);
  }
  /// Waits for bytes and stores them at the front of `memory`, which must not be empty. Returns
  /// their number, at least 1; 0 at the end.
  extend::read_some_wait read_some(std::span<std::byte> memory,
                                   const time_limit& timeout = forever) {
    return extend::read_some_wait(checked(), extend::opcode::read, memory, timeout);
  }
  /// Fills `memory`. errc::end_of_stream if the end comes first: the bytes that arrived are at the
  /// front.
  extend::read_exact_wait read_exact(std::span<std::byte> memory,
                                     const time_limit& timeout = forever) {
    return extend::read_exact_wait(checked(), extend::opcode::read, memory, timeout);
  }
  /// Ends the calls in flight with errc::closed, and closes the descriptor. Idempotent.
  close_wait close() noexcept { return close_wait(state_.get()); }

  /// How many bytes its calls have read so far.
  std::uint64_t bytes_read() const noexcept { return checked().count(extend::direction::read); }
  /// The descriptor, or -1 once closed. It keeps ownership.
  int native_handle() const noexcept { return state_ ? state_->fd() : -1; }

 private:
  friend class reader;
  extend::descriptor& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "the end of a pipe that was moved from was used");
    return *state_;
  }

  extend::descriptor::owner state_;
};

/// The end of a pipe that is written. A byte_sink: see there for the rules of its calls. Movable;
/// destroying it closes it.
///
/// Signals   Writing when no process has the other end open raises SIGPIPE, which ends the program
///           unless it ignores that signal; then the call fails with broken_pipe. (A socket pair
///           never raises it: see unix_stream::pair().)
/// Errors    std::system_error with the system's errno, or as_result(); errc::closed,
///           errc::timed_out.
/// Cancellation  write_all() may be cut short in the middle; writes then fail with
///           errc::partial_transfer.
/// Lifetime  Memory is borrowed until the co_await returns. It may be moved, closed and destroyed
///           at any time: calls in flight then end with errc::closed.
/// Thread    That of the scheduler on which it was created; calls on another thread abort.
/// Memory    One block of about 150 bytes. Only write_all() of several pieces allocates.
/// Kernel    pipe(7), write(2).
class pipe_writer {
 public:
  /// Takes over a descriptor that can be written and nothing else uses. O_NONBLOCK is not set on
  /// it. Aborts outside of run(); throws std::bad_alloc, and then closes `fd`.
  explicit pipe_writer(unique_fd fd)
      : state_(extend::descriptor::make(fd.get(), extend::descriptor::kind::shared,
                                        extend::descriptor::family::other)) {
    [[maybe_unused]] const int owned_now = fd.release();
  }

  /// Writes all bytes. When it returns, the pipe has them, but not necessarily the reader.
  extend::write_all_wait write_all(std::span<const std::byte> bytes,
                                   const time_limit& timeout = forever) {
    return extend::write_all_wait(checked(), extend::opcode::write, bytes, timeout);
  }
  /// The same for text.
  extend::write_all_wait write_all(std::string_view text, const time_limit& timeout = forever) {
    return write_all(std::as_bytes(std::span(text)), timeout);
  }
  /// The same for received bytes. The buffer must live until the co_await returns.
  extend::write_all_wait write_all(const buffer& data, const time_limit& timeout = forever) {
    return write_all(data.bytes(), timeout);
  }
  /// Writes several pieces one after the other. The list is copied; the bytes are borrowed.
  extend::gather_wait write_all(std::span<const std::span<const std::byte>> parts,
                                const time_limit& timeout = forever) {
    return extend::gather_wait(checked(), extend::opcode::write, parts, timeout);
  }
  /// Closes this end without waiting, which is how a pipe ends. The reader still gets what was
  /// written.
  void shutdown_write() noexcept { abort(); }
  /// The same.
  void abort() noexcept {
    if (state_) state_->close(nullptr);
  }
  /// Ends the call in flight with errc::closed, and closes the descriptor. Idempotent.
  close_wait close() noexcept { return close_wait(state_.get()); }

  /// How many bytes its calls have written so far.
  std::uint64_t bytes_written() const noexcept { return checked().count(extend::direction::write); }
  /// The descriptor, or -1 once closed. It keeps ownership.
  int native_handle() const noexcept { return state_ ? state_->fd() : -1; }

 private:
  extend::descriptor& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "the end of a pipe that was moved from was used");
    return *state_;
  }

  extend::descriptor::owner state_;
};

/// What make_pipe() returns: auto [in, out] = make_pipe();
struct pipe_ends {
  /// What is read.
  pipe_reader in;
  /// What is written.
  pipe_writer out;
};

/// Makes a pipe. Its descriptors are closed on exec. Aborts outside of run().
/// Errors    No descriptors (EMFILE), ... std::bad_alloc.
/// Kernel    pipe2(2).
pipe_ends make_pipe();

}  // namespace ringlet
