// memory_stream: two streams in memory that are connected to each other.
//
//     task<std::string> echoed(std::function<task<>(memory_stream&)> protocol) {
//       auto [client, server] = memory_stream::pair();
//       co_await client.write_all("hello");
//       client.shutdown_write();
//       co_await protocol(server);
//       co_await server.close();
//       std::string all;
//       while (buffer data = co_await client.receive()) all += data.text();
//       co_return all;
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/extend/memory_waits.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace ringlet {

/// One end of a pair: what is written to one end arrives at the other. A byte_stream: see there for
/// the rules of its calls. For testing protocols without the system, and for connecting fibers that
/// speak one. Movable; destroying it closes it.
///
/// Limits    A direction holds at most `capacity` bytes; then a write waits for the reader.
/// Errors    std::system_error. After abort() of the peer: connection_reset for reads, broken_pipe
///           for writes. After its close(): the end for reads, once all bytes are read (or
///           connection_reset, if it had not read all of ours), and broken_pipe for writes.
///           errc::closed, errc::timed_out.
/// Cancellation  receive(), readable() and read_some() lose nothing. read_exact() and write_all()
///           may be cut short in the middle; that direction then fails with errc::partial_transfer.
/// Lifetime  Memory is borrowed until the co_await returns. The stream may be moved, closed and
///           destroyed at any time: calls in flight then end with errc::closed. It may
///           outlive its scheduler, and may then only be moved and destroyed.
/// Thread    That of the scheduler on which the pair was made; calls on another thread abort.
/// Memory    `capacity` bytes for each direction, allocated with the pair. receive() allocates a
///           buffer; other calls do not allocate.
/// Kernel    Not involved.
class memory_stream {
 public:
  /// What a direction holds unless pair() is told otherwise, in bytes.
  static constexpr std::size_t default_capacity = 64 * 1024;

  /// Makes a pair. `capacity` is at least 1 byte. Aborts outside of run(); throws std::bad_alloc.
  static std::pair<memory_stream, memory_stream> pair(std::size_t capacity = default_capacity);

  memory_stream(memory_stream&& other) noexcept;
  memory_stream& operator=(memory_stream&& other) noexcept;
  ~memory_stream();

  /// Waits for bytes and returns them in a buffer, at most options.sizes.buffer_size; an empty one
  /// at the end.
  /// Errors    not_enough_memory if there is none for the buffer: no byte is lost.
  extend::memory_receive_wait receive(const time_limit& timeout = forever) {
    return extend::memory_receive_wait(incoming(), timeout);
  }
  /// Waits until a read would return immediately: true, or false if the limit passed first. May be
  /// a part of a select().
  extend::memory_readable_wait readable(const time_limit& timeout = forever) {
    return extend::memory_readable_wait(incoming(), timeout);
  }
  /// Waits for bytes and stores them at the front of `memory`, which must not be empty. Returns
  /// their number, at least 1; 0 at the end.
  extend::memory_read_some_wait read_some(std::span<std::byte> memory,
                                          const time_limit& timeout = forever) {
    return extend::memory_read_some_wait(incoming(), memory, timeout);
  }
  /// Fills `memory`. errc::end_of_stream if the end comes first: the bytes that arrived are at the
  /// front.
  extend::memory_read_exact_wait read_exact(std::span<std::byte> memory,
                                            const time_limit& timeout = forever) {
    return extend::memory_read_exact_wait(incoming(), memory, timeout);
  }

  /// Writes all bytes. When it returns, the direction holds them.
  extend::memory_write_wait write_all(std::span<const std::byte> bytes,
                                      const time_limit& timeout = forever) {
    return extend::memory_write_wait(outgoing(), bytes, timeout);
  }
  /// The same for text.
  extend::memory_write_wait write_all(std::string_view text, const time_limit& timeout = forever) {
    return write_all(std::as_bytes(std::span(text)), timeout);
  }
  /// The same for received bytes. The buffer must live until the co_await returns.
  extend::memory_write_wait write_all(const buffer& data, const time_limit& timeout = forever) {
    return write_all(data.bytes(), timeout);
  }
  /// Writes several pieces as if they were one. The list and the bytes are borrowed.
  extend::memory_write_wait write_all(std::span<const std::span<const std::byte>> parts,
                                      const time_limit& timeout = forever) {
    return extend::memory_write_wait(outgoing(), parts, timeout);
  }

  /// The peer reads the end, once it has read all bytes. Later writes fail with broken_pipe.
  /// Errors    errc::closed.
  void shutdown_write();
  /// Closes without waiting, and drops the bytes that the peer has not read: its reads fail with
  /// connection_reset. Idempotent.
  void abort() noexcept;
  /// Ends the calls in flight with errc::closed. The peer can still read what was written, unless
  /// it has written bytes that were not read here: then its reads fail with connection_reset.
  /// Idempotent; does not wait.
  extend::memory_close_wait close() noexcept { return extend::memory_close_wait(*this); }

  /// How many bytes the calls of this end have read so far.
  std::uint64_t bytes_read() const noexcept { return incoming().count(extend::pipe_side::reader); }
  /// How many bytes they have written.
  std::uint64_t bytes_written() const noexcept {
    return outgoing().count(extend::pipe_side::writer);
  }

 private:
  friend class extend::memory_close_wait;
  memory_stream(extend::memory_pipe& in, extend::memory_pipe& out) noexcept
      : in_(&in), out_(&out) {}
  extend::memory_pipe& incoming() const noexcept {
    RINGLET_ASSERT(in_ != nullptr, "a memory stream that was moved from was used");
    return *in_;
  }
  extend::memory_pipe& outgoing() const noexcept {
    RINGLET_ASSERT(out_ != nullptr, "a memory stream that was moved from was used");
    return *out_;
  }
  void close_now() noexcept;
  void drop() noexcept;

  extend::memory_pipe* in_;  // null once moved from
  extend::memory_pipe* out_;
};

}  // namespace ringlet
