// reader: reads lines, delimited pieces and exact counts from a stream of bytes.
//
//     task<> answer_lines(tcp_stream peer) {
//       reader in(peer, 1024);  // lines of at most 1024 bytes
//       while (const auto line = co_await in.read_line(30s)) {
//         co_await peer.write_all("you said: " + std::string(*line) + '\n');
//       }
//     }
//
// A peer that is silent for 30 s ends the fiber with timed_out, which is reported on standard
// error. To end it quietly, write `const auto line = co_await as_result(in.read_line(30s));` and
// return if `!line && line.error() == errc::timed_out`.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/byte_stream.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/io_wait.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace ringlet::extend {

class byte_feed;
class file_request;
class read_copy_wait;
class read_line_wait;
class read_until_wait;
class reader_wait;
template <bool Consumes>
class view_wait;
using read_exact_view_wait = view_wait<true>;
using peek_wait = view_wait<false>;

}  // namespace ringlet::extend

namespace ringlet {

class pipe_reader;
class standard_stream;

/// Cuts the bytes of a stream into pieces: lines and others here, frames by read_frame(), values by
/// read_value(). These rules apply to every call:
///
/// Views     A call returns a view of text or any other bytes. It stays valid until the next call
///           on the reader, except consume(). It refers to the buffer that the stream lent if the
///           whole piece lies in one buffer, otherwise to the reader's own memory.
/// Limit     A piece has at most limit() bytes, not counting its delimiter. A longer piece fails
///           with errc::too_long as soon as that many bytes have arrived. Later calls discard the
///           rest of an overlong line or delimited piece, up to and including its delimiter, and
///           return what follows it. So a server can report the error and continue.
/// Overlap   Starting a call while another one waits is the caller's bug and aborts. So does a call
///           that has to wait while a read of the stream itself is in flight.
/// End       Calls use buffered bytes first. When none are left, every call reports the end. A
///           terminal continues after each Ctrl-D.
/// Errors    The errors of the stream, as std::system_error or from as_result(). errc::closed if
///           the stream is closed on this side. errc::timed_out. errc::too_long. not_enough_memory:
///           no byte is lost; call again. Bytes that were buffered before an error can still be
///           read.
/// Cancellation  Loses nothing: bytes that have arrived stay in the reader, and calling again
///           continues where it stopped. A timeout counts as a cancellation.
/// Lifetime  Borrows the stream, which may be moved and closed but must outlive the reader. Must
///           outlive its calls.
/// Thread    That of the stream's scheduler.
/// Memory    While nothing is buffered, only the reader itself; for a standard stream also one
///           buffer of options.sizes.buffer_size bytes. While a piece is incomplete, its bytes so
///           far, in memory that grows by doubling and is freed when the piece is consumed. Never
///           more than the limit, the delimiter and one lent buffer; while growing, also half the
///           limit.
///
/// A reader takes more from the stream than it returns: while bytes may be buffered, read only from
/// the reader.
class reader {
 public:
  /// The limit() if the program gives none, in bytes.
  static constexpr std::size_t default_limit = 64 * 1024;

  /// `limit`: bytes, at least 1. `stream` is a socket, or a half of one.
  template <class Stream>
  requires requires(Stream& stream) { extend::descriptor_access::of(stream); }
  explicit reader(Stream& stream, std::size_t limit = default_limit)
      : reader(extend::descriptor_access::of(stream), limit) {}
  /// Throws std::bad_alloc.
  explicit reader(standard_stream& stream, std::size_t limit = default_limit);
  explicit reader(pipe_reader& stream, std::size_t limit = default_limit);
  /// For any other source, which may be one of the program. Its calls wait in receive(). Throws
  /// std::bad_alloc.
  template <byte_source Source>
  requires(!requires(Source & source) {
    extend::descriptor_access::of(source);
  }) explicit reader(Source& source, std::size_t limit = default_limit);
  reader(const reader&) = delete;
  reader& operator=(const reader&) = delete;
  ~reader();

  /// Returns the next line, without the LF or CR LF that ends it; nothing at the end of the stream.
  /// Bytes after the last LF are a line, too, so a line that the peer did not finish looks like a
  /// whole one: where half a command must not be executed, use read_until("\n"). The CR counts
  /// towards the limit. Not for select(): call try_read_line() first, and if that returns nothing,
  /// select readable() of the stream, which does not know what the reader has buffered.
  extend::read_line_wait read_line(const time_limit& timeout = forever);
  /// Returns the next line if all of it, with its LF, has already arrived. Never waits, and never
  /// reads from a standard stream: it only uses bytes that an earlier call has read. Also returns
  /// nothing if the end, an error or an overlong line comes next; read_line() tells which.
  std::optional<std::string_view> try_read_line() noexcept;

  /// Returns the bytes before the next `delimiter`, which must not be empty, and discards the
  /// delimiter; returns nothing at the end of the stream. errc::end_of_stream if the stream ends
  /// with bytes after the last delimiter; they stay in the reader. A CR before it is kept.
  /// `delimiter` is borrowed until the co_await returns.
  extend::read_until_wait read_until(std::string_view delimiter,
                                     const time_limit& timeout = forever);

  /// Returns the next `count` bytes, 0 to limit(). errc::end_of_stream if the stream ends first;
  /// the bytes that arrived stay in the reader. errc::too_long takes and discards nothing.
  extend::read_exact_view_wait read_exact(std::size_t count, const time_limit& timeout = forever);

  /// Copies buffered bytes, or else the next bytes to arrive, to the front of `memory`, which must
  /// not be empty. Returns their number, at least 1; 0 at the end of the stream. For protocols that
  /// switch to raw bytes or need to read more than the limit.
  extend::read_copy_wait read_some(std::span<std::byte> memory,
                                   const time_limit& timeout = forever);

  /// Waits until `count` bytes (at most limit()) are buffered, and returns a view of them and of
  /// everything contiguous with them. Consumes nothing. The view has fewer than `count` bytes if
  /// the stream ends first; an empty view means the end.
  extend::peek_wait peek(std::size_t count, const time_limit& timeout = forever);
  /// Returns the bytes that have already arrived; only the first part if they lie in two places.
  /// Never waits.
  std::string_view peek() noexcept;
  /// Discards the first `count` buffered bytes. Discarding more than are buffered is the caller's
  /// bug and aborts. Views stay valid.
  void consume(std::size_t count) noexcept;

  /// The most bytes that a piece may have.
  std::size_t limit() const noexcept { return limit_; }

 private:
  friend class extend::file_request;
  friend class extend::read_copy_wait;
  friend class extend::read_line_wait;
  friend class extend::read_until_wait;
  friend class extend::reader_wait;
  template <bool Consumes>
  friend class extend::view_wait;

  // Exists only while a piece is incomplete, so most readers have none most of the time.
  struct unfinished {
    std::vector<char> bytes;
    std::size_t taken = 0;    // bytes that are consumed
    std::string searched;     // the delimiter that `scanned` and `skipping` refer to
    std::size_t scanned = 0;  // buffered bytes in which the delimiter does not begin
    bool skipping = false;    // whether bytes through the delimiter are being discarded
  };

  // Unconsumed bytes lie in two places: first in begun_, then in fresh_.
  std::string_view stored() const noexcept {
    if (begun_ == nullptr) return {};
    return std::string_view(begun_->bytes.data(), begun_->bytes.size()).substr(begun_->taken);
  }
  std::size_t buffered() const noexcept { return stored().size() + fresh_.size(); }
  std::size_t scanned() const noexcept { return begun_ == nullptr ? 0 : begun_->scanned; }
  unfinished& begun() {
    if (begun_ == nullptr) begun_ = std::make_unique<unfinished>();
    return *begun_;
  }

  reader(extend::descriptor& from, std::size_t limit);
  reader(extend::descriptor& file, std::size_t buffer_size, std::size_t limit);
  reader(std::unique_ptr<extend::byte_feed> feed, std::size_t limit);
  /// Whether bytes arrive by requests of the descriptor, which may have received some already.
  bool has_requests() const noexcept { return file_ == nullptr && feed_ == nullptr; }

  void check_unused() const noexcept;
  void let_go() noexcept;
  void drop(std::size_t bytes) noexcept;
  bool store(std::string_view bytes) noexcept;
  bool store_fresh() noexcept;
  bool join(std::size_t bytes) noexcept;
  std::string_view front(std::size_t bytes) const noexcept;
  bool pull() noexcept;
  void hold(buffer lent) noexcept;
  std::size_t find(std::string_view delimiter) const noexcept;
  std::size_t search(std::string_view delimiter) noexcept;
  bool skip_through(std::string_view delimiter) noexcept;
  bool finish_skipping() noexcept;

  extend::descriptor* from_;                    // null if there is a feed
  std::unique_ptr<extend::file_request> file_;  // only for a descriptor that is no socket
  std::unique_ptr<extend::byte_feed> feed_;     // only for a source without a descriptor
  std::size_t limit_;
  std::string_view fresh_;  // into lent_ or file_
  buffer lent_;
  std::unique_ptr<unfinished> begun_;
  bool ended_ = false;  // the stream ends after the buffered bytes
  bool waiting_ = false;
};

}  // namespace ringlet

namespace ringlet::extend {

/// Where a reader without a descriptor gets its bytes: a source whose type is erased.
class byte_feed {
 public:
  virtual ~byte_feed() = default;
  virtual task<buffer> receive(time_limit timeout) = 0;

  /// The call that receives for the current wait.
  std::optional<task<>> running;
  std::error_code error;
};

template <byte_source Source>
class source_feed final : public byte_feed {
 public:
  explicit source_feed(Source& from) noexcept : from_(from) {}
  task<buffer> receive(time_limit timeout) override {
    buffer got = co_await from_.receive(timeout);
    co_return got;
  }

 private:
  Source& from_;
};

/// The base of a reader's waits: waits until a delimiter or a number of bytes is buffered.
class reader_wait : public claiming_wait<direction::read, wait_base>, private arrival_waiter {
 public:
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  void on_cancel(cancel_reason reason) noexcept;

 protected:
  reader_wait(reader& in, const time_limit& timeout) noexcept
      : claiming_wait(in.from_, timeout), in_(in) {}
  ~reader_wait() = default;

  virtual const wait_type& kind() const noexcept = 0;
  /// Sets what to wait for: a delimiter, or a number of bytes.
  void want(std::string_view delimiter) noexcept {
    delimiter_ = delimiter.data();
    count_ = delimiter.size();
  }
  void want(std::size_t count) noexcept { count_ = count; }

  /// take() calls this first. Returns the error of the call, or 0. Throws if the fiber was
  /// interrupted.
  std::error_code failure();
  bool is_whole() const noexcept { return state_ == state::whole; }
  /// Whether the stream ended before the wanted bytes arrived.
  bool has_ended() const noexcept { return state_ == state::ended; }
  /// The number of bytes that were wanted, or that lie before the delimiter.
  std::size_t count() const noexcept { return count_; }
  /// A contiguous view of the first buffered bytes.
  result<std::string_view> view(std::size_t bytes) noexcept;
  /// Called by take() when it reports the end of the stream.
  void tell_end() noexcept { in_.ended_ = false; }
  /// Consumes the count() bytes, and returns a contiguous view of them.
  result<std::string_view> take_view() noexcept;

  enum class state : std::uint8_t { missing, whole, ended, too_long, malformed, failed };

  /// Whether the wanted number of bytes has arrived. A derived class may learn from the first bytes
  /// how many it wants.
  virtual state look_for_count() noexcept;
  /// How many bytes are buffered.
  std::size_t buffered() const noexcept { return in_.buffered(); }
  /// Whether that many bytes are buffered.
  state look_for(std::size_t count) const noexcept;
  /// Copies buffered bytes to the front of `memory`, as many as fit, and returns a view of the
  /// copy.
  std::string_view copy_front(std::span<char> memory) const noexcept;

  /// A scope guard for take(): allows the next call once take() returns.
  class ending {
   public:
    explicit ending(reader_wait& wait) noexcept : wait_(wait) {}
    ending(const ending&) = delete;
    ending& operator=(const ending&) = delete;
    ~ending() {
      wait_.in_.waiting_ = false;
      wait_.end_claim();
      if (wait_.in_.feed_ != nullptr) wait_.end_feeding();
    }

   private:
    reader_wait& wait_;
  };

  reader& in_;

 private:
  friend class file_request;
  std::coroutine_handle<> begin(frame_record& at) noexcept;
  bool begin_waiting(frame_record& at) noexcept;
  std::coroutine_handle<> begin_feeding(frame_record& at) noexcept;
  task<> feed();
  void end_feeding() noexcept;
  bool progress() noexcept;
  bool look() noexcept;
  state look_for_delimiter() noexcept;
  void wait_on() noexcept;
  void on_arrival() noexcept override;
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }
  void go_on(bool done) noexcept;

  // Valid until the piece is whole; see count_.
  std::string_view delimiter() const noexcept { return {delimiter_, count_}; }

  const char* delimiter_ = nullptr;  // null: a number of bytes is wanted
  std::size_t count_ = 0;            // the number of bytes; for a delimiter, its size: see count()
  std::int32_t answer_ = 0;
  state state_ = state::missing;
};

/// See reader::read_line().
class [[nodiscard]] read_line_wait final : public reader_wait {
 public:
  read_line_wait(reader& in, const time_limit& timeout) noexcept : reader_wait(in, timeout) {
    want("\n");
  }
  result<std::optional<std::string_view>> take();
  std::optional<std::string_view> await_resume();

 private:
  std::error_code take_into(std::optional<std::string_view>& line);
  const wait_type& kind() const noexcept override { return type; }
  static const wait_type type;
};

/// See reader::read_until().
class [[nodiscard]] read_until_wait final : public reader_wait {
 public:
  read_until_wait(reader& in, std::string_view delimiter, const time_limit& timeout) noexcept;
  result<std::optional<std::string_view>> take();
  std::optional<std::string_view> await_resume() {
    return detail::value_or_throw(take(), kind().name);
  }

 private:
  const wait_type& kind() const noexcept override { return type; }
  static const wait_type type;
  std::size_t delimiter_size_;
};

/// See reader::read_exact(), which consumes the bytes that it returns, and reader::peek().
template <bool Consumes>
class [[nodiscard]] view_wait final : public reader_wait {
 public:
  view_wait(reader& in, std::size_t count, const time_limit& timeout) noexcept
      : reader_wait(in, timeout) {
    want(count);
  }
  result<std::string_view> take();
  std::string_view await_resume() { return detail::value_or_throw(take(), kind().name); }

 private:
  const wait_type& kind() const noexcept override { return type; }
  static const wait_type type;
};
extern template class view_wait<true>;
extern template class view_wait<false>;

/// See reader::read_some().
class [[nodiscard]] read_copy_wait final : public reader_wait {
 public:
  read_copy_wait(reader& in, std::span<std::byte> memory, const time_limit& timeout) noexcept;
  result<std::size_t> take();
  std::size_t await_resume() { return detail::value_or_throw(take(), kind().name); }

 private:
  const wait_type& kind() const noexcept override { return type; }
  static const wait_type type;
  std::span<std::byte> memory_;
};

}  // namespace ringlet::extend

namespace ringlet {

template <byte_source Source>
requires(!requires(Source & source) {
  extend::descriptor_access::of(source);
}) reader::reader(Source& source, std::size_t limit)
    : reader(std::make_unique<extend::source_feed<Source>>(source), limit) {}

inline extend::read_line_wait reader::read_line(const time_limit& timeout) {
  return extend::read_line_wait(*this, timeout);
}
inline extend::read_until_wait reader::read_until(std::string_view delimiter,
                                                  const time_limit& timeout) {
  return extend::read_until_wait(*this, delimiter, timeout);
}
inline extend::read_exact_view_wait reader::read_exact(std::size_t count,
                                                       const time_limit& timeout) {
  return extend::read_exact_view_wait(*this, count, timeout);
}
inline extend::read_copy_wait reader::read_some(std::span<std::byte> memory,
                                                const time_limit& timeout) {
  return extend::read_copy_wait(*this, memory, timeout);
}
inline extend::peek_wait reader::peek(std::size_t count, const time_limit& timeout) {
  return extend::peek_wait(*this, count, timeout);
}

}  // namespace ringlet
