// byte_stream: what every stream of bytes can do: byte_source, byte_sink, and both.
//
//     template <byte_stream Stream>
//     task<> echo(Stream& peer) {
//       while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
//       co_await shutdown_write(peer);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/extend/awaiter.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ringlet::detail {

template <class Call>
struct awaited {};
template <extend::awaiter Wait>
struct awaited<Wait> {
  using type = decltype(std::declval<Wait&>().await_resume());
};
template <class T>
struct awaited<task<T>> {
  using type = T;
};
template <class T>
struct awaited<borrowing_task<T>> {
  using type = T;
};

/// What `co_await` of a task or a wait returns is a T.
template <class Call, class T>
concept awaited_as = std::same_as<typename awaited<std::remove_cvref_t<Call>>::type, T>;

}  // namespace ringlet::detail

namespace ringlet {

/// Something that bytes come from: tcp_stream, unix_stream, pipe_reader, standard_stream,
/// memory_stream, read_half. A program may write its own. Its calls are waits or tasks:
///
/// - `receive(timeout)` returns a buffer with at least 1 byte; an empty one at the end.
/// - `read_some(memory, timeout)` returns the number of bytes stored, at least 1; 0 at the end.
/// - `read_exact(memory, timeout)` fills the memory, or throws errc::end_of_stream.
/// - `readable(timeout)` returns true when the next receive() need not wait for the peer, and false
///   if the limit passed first.
/// - `close()`.
///
/// Overlap   One read at a time.
/// Errors    std::system_error; errc::closed once close() has begun; errc::timed_out. The end is a
///           value: every further read reports it again.
/// Cancellation  receive(), read_some() and readable() lose nothing. read_exact() may stop in the
///           middle: reads then fail with errc::partial_transfer. Success wins.
/// Lifetime  Memory is borrowed until the co_await returns. Closing and destroying it end the calls
///           in flight with errc::closed.
///
/// readable() takes nothing that a read would return, and may be wrong: a read may still wait.
template <class S>
concept byte_source = requires(S& source, std::span<std::byte> memory, const time_limit& timeout) {
  { source.receive(timeout) } -> detail::awaited_as<buffer>;
  { source.receive() } -> detail::awaited_as<buffer>;
  { source.read_some(memory, timeout) } -> detail::awaited_as<std::size_t>;
  { source.read_exact(memory, timeout) } -> detail::awaited_as<void>;
  { source.readable(timeout) } -> detail::awaited_as<bool>;
  { source.close() } -> detail::awaited_as<void>;
};

/// Something that bytes go to:
///
/// - `write_all(bytes, timeout)` writes all of them: a span, a string_view or a buffer.
/// - `write_all(parts, timeout)` writes several spans as if they were one.
/// - `shutdown_write()`: no more bytes will come, and the peer reads the end once it has read all
///   bytes. It returns nothing, or a wait or task.
/// - `abort()` closes at once, without waiting; noexcept.
/// - `close()`.
///
/// Overlap   One write at a time.
/// Errors    std::system_error, broken_pipe if the peer reads no more; errc::closed once close()
///           has begun; errc::timed_out.
/// Cancellation  write_all() may stop in the middle: writes then fail with errc::partial_transfer.
///           A call that was cancelled before its first byte has written nothing, and may be
///           repeated.
/// Lifetime  Memory is borrowed until the co_await returns. Closing and destroying it end the calls
///           in flight with errc::closed.
///
/// What a sink differs in: a pipe and a standard stream cannot end one direction only. So
/// shutdown_write() of a pipe_writer closes it, and that of a standard_stream does nothing, because
/// other processes may write to the same descriptor.
template <class S>
concept byte_sink = requires(S& sink, std::span<const std::byte> bytes, std::string_view text,
                             const buffer& data, std::span<const std::span<const std::byte>> parts,
                             const time_limit& timeout) {
  { sink.write_all(bytes, timeout) } -> detail::awaited_as<void>;
  { sink.write_all(text, timeout) } -> detail::awaited_as<void>;
  { sink.write_all(data, timeout) } -> detail::awaited_as<void>;
  { sink.write_all(parts, timeout) } -> detail::awaited_as<void>;
  sink.shutdown_write();
  { sink.abort() }
  noexcept;
  { sink.close() } -> detail::awaited_as<void>;
};

/// Both. One read and one write may be in flight at the same time.
template <class S>
concept byte_stream = byte_source<S> && byte_sink<S>;

/// Ends the write direction of any sink: its shutdown_write(), awaited if that waits.
///
/// Errors    Those of shutdown_write().
/// Cancellation  What its shutdown_write() loses; for sinks of this library it does not wait.
/// Lifetime  Borrows the sink.
template <byte_sink Sink>
task<> shutdown_write(Sink& sink) {
  if constexpr (std::is_void_v<decltype(sink.shutdown_write())>) {
    sink.shutdown_write();
    co_return;
  } else {
    co_await sink.shutdown_write();
  }
}

}  // namespace ringlet
