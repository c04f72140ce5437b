// split: read_half and write_half, the two directions of a stream, for two fibers.
//
//     task<> send_lines(write_half<tcp_stream> out, queue<std::string>& lines) {
//       while (const auto line = co_await as_result(lines.pop())) co_await out.write_all(*line);
//     }  // the peer sees the end of the stream
//     task<std::uint64_t> talk(tcp_stream peer, queue<std::string>& lines) {
//       auto [in, out] = split(std::move(peer));
//       const auto writing = spawn(send_lines, std::move(out), std::ref(lines));
//       while (buffer data = co_await in.receive()) std::puts("something has come");
//       co_await writing.get();
//       co_return in.stream().bytes_read();
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/byte_stream.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/time_limit.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace ringlet::detail {

template <class Stream>
struct split_stream {
  explicit split_stream(Stream&& whole) noexcept : stream(std::move(whole)) {}
  Stream stream;
};

}  // namespace ringlet::detail

namespace ringlet {

/// The direction of a stream from which bytes come: from split(). A byte_source. Movable, also to
/// another fiber. Its calls are those of the stream, with the same errors and losses.
///
/// Lifetime  The stream is destroyed, and so closed, with the second of its two halves: calls in
///           flight then end with errc::closed. They outlive their half while the other one lives.
/// Thread    That of the stream.
template <byte_stream Stream>
class read_half {
 public:
  read_half(read_half&&) noexcept = default;
  read_half& operator=(read_half&&) noexcept = default;

  /// Lends what has arrived.
  auto receive(const time_limit& timeout = forever) { return stream().receive(timeout); }
  /// Waits for bytes, and takes none.
  auto readable(const time_limit& timeout = forever) { return stream().readable(timeout); }
  /// Stores what has arrived.
  auto read_some(std::span<std::byte> memory, const time_limit& timeout = forever) {
    return stream().read_some(memory, timeout);
  }
  /// Fills the memory.
  auto read_exact(std::span<std::byte> memory, const time_limit& timeout = forever) {
    return stream().read_exact(memory, timeout);
  }
  /// Closes the whole stream: the calls of both halves end with errc::closed.
  auto close() { return stream().close(); }

  /// The stream, for its addresses and options.
  Stream& stream() const noexcept {
    RINGLET_ASSERT(shared_ != nullptr, "a half of a stream that was moved from was used");
    return shared_->stream;
  }

 private:
  friend struct extend::descriptor_access;
  template <byte_stream S>
  friend auto split(S whole);
  /// For a reader: the descriptor, if the stream has one.
  template <class S = Stream>
  auto checked() const noexcept -> decltype(extend::descriptor_access::of(std::declval<S&>())) {
    return extend::descriptor_access::of(stream());
  }
  explicit read_half(std::shared_ptr<detail::split_stream<Stream>> shared) noexcept
      : shared_(std::move(shared)) {}

  std::shared_ptr<detail::split_stream<Stream>> shared_;
};

/// The direction of a stream to which bytes go: from split(). A byte_sink. Movable, also to another
/// fiber. When it is destroyed first, it ends its direction, so that the peer sees the end of the
/// stream. (A stream whose shutdown_write() waits, or fails, is then aborted instead.)
///
/// Errors    Those of the stream.
/// Cancellation  What the calls of the stream lose.
/// Lifetime  As of read_half.
/// Thread    That of the stream.
template <byte_stream Stream>
class write_half {
 public:
  write_half(write_half&&) noexcept = default;
  write_half& operator=(write_half&& other) noexcept {
    if (this != &other) {
      finish();
      shared_ = std::move(other.shared_);
    }
    return *this;
  }
  ~write_half() { finish(); }

  /// Writes all bytes.
  auto write_all(std::span<const std::byte> bytes, const time_limit& timeout = forever) {
    return stream().write_all(bytes, timeout);
  }
  auto write_all(std::string_view text, const time_limit& timeout = forever) {
    return stream().write_all(text, timeout);
  }
  auto write_all(const buffer& data, const time_limit& timeout = forever) {
    return stream().write_all(data, timeout);
  }
  auto write_all(std::span<const std::span<const std::byte>> parts,
                 const time_limit& timeout = forever) {
    return stream().write_all(parts, timeout);
  }
  /// Ends the direction: the other half still reads.
  auto shutdown_write() { return stream().shutdown_write(); }
  /// Ends the whole stream at once.
  void abort() noexcept { stream().abort(); }
  /// Closes the whole stream: the calls of both halves end with errc::closed.
  auto close() { return stream().close(); }

  /// The stream, for its addresses and options.
  Stream& stream() const noexcept {
    RINGLET_ASSERT(shared_ != nullptr, "a half of a stream that was moved from was used");
    return shared_->stream;
  }

 private:
  template <byte_stream S>
  friend auto split(S whole);
  explicit write_half(std::shared_ptr<detail::split_stream<Stream>> shared) noexcept
      : shared_(std::move(shared)) {}
  // The last half needs no end of its own: the stream is closed.
  void finish() noexcept {
    if (shared_ == nullptr || shared_.use_count() == 1) return;
    if constexpr (std::is_void_v<decltype(shared_->stream.shutdown_write())>) {
      try {
        shared_->stream.shutdown_write();
        return;
      } catch (...) {
        // The connection is over, or closed.
      }
    }
    shared_->stream.abort();
  }

  std::shared_ptr<detail::split_stream<Stream>> shared_;
};

/// What split() returns: auto [in, out] = split(std::move(stream));
template <byte_stream Stream>
struct stream_halves {
  /// Where bytes come from.
  read_half<Stream> in;
  /// Where bytes go to.
  write_half<Stream> out;
};

/// Splits a stream into its two directions, for two fibers that own one each. No call may be in
/// flight. A stream that two fibers merely use need not be split: it allows one read and one write
/// at the same time.
///
/// Memory    One block for the stream and the count of its halves. Throws std::bad_alloc; the
///           stream is then closed.
template <byte_stream Stream>
auto split(Stream whole) {
  auto shared = std::make_shared<detail::split_stream<Stream>>(std::move(whole));
  return stream_halves<Stream>{read_half<Stream>(shared), write_half<Stream>(shared)};
}

}  // namespace ringlet
