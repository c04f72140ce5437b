// reader: reads lines, delimited pieces and exact counts from a stream of bytes.
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/io_wait.hpp>
#include <ringlet/result.hpp>

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

class standard_stream;

/// Cuts the bytes of a stream into pieces.
///
///   reader in(stream);
///   while (const auto line = co_await in.read_line()) use(*line);
///
/// True of every call, and not repeated there:
///
///   Views         A call returns a view of text or any other bytes. It stays valid until the next
///                 call on the reader, except consume(). The view is of the buffer that the stream
///                 lent, if the whole piece lies in one buffer; otherwise of the reader's own
///                 memory.
///   Limit         A piece has at most limit() bytes, without its delimiter. A longer piece fails
///                 with errc::too_long as soon as that many bytes have arrived. Later calls discard
///                 the rest of an overlong line or delimited piece, up to and including its
///                 delimiter, and return what follows it. So a server can report the error and
///                 continue.
///   Memory        While nothing is buffered, only the reader itself; for a standard stream also
///                 one buffer of options.sizes.buffer_size bytes. While a piece is incomplete, its
///                 bytes so far, in memory that grows by doubling and is freed when the piece is
///                 consumed. Never more than the limit, the delimiter and one lent buffer; while
///                 growing, also half the limit.
///   Overlap       A call during another call that waits is the caller's bug and aborts. So does a
///                 call that has to wait while a read of the stream itself is in flight.
///   Errors        Those of the stream, as std::system_error or as_result(); closed on this side:
///                 errc::closed. not_enough_memory: no byte is lost; call again. Bytes that were
///                 buffered before an error can still be read.
///   Cancellation  Every call is cancel-safe: bytes that have arrived stay in the reader, and
///                 calling again continues where it stopped. The `time_limit` of a call counts as a
///                 cancellation.
///   End           Calls are first served from what is buffered. When nothing is left, every call
///                 reports the end; a terminal continues after each Ctrl-D.
///   Lifetime      Borrows the stream, which may be moved and closed but must outlive the reader.
///   Thread        That of the scheduler of the stream.
///
/// A reader takes more from the stream than it returns: as long as bytes may be buffered, read from
/// the reader only.
class reader {
 public:
  static constexpr std::size_t default_limit = 64 * 1024;

  /// `limit`: bytes, at least 1. `stream` is one that receives, such as a tcp_stream.
  template <class Stream>
  requires requires(Stream& stream) { extend::descriptor_access::of(stream); }
  explicit reader(Stream& stream, std::size_t limit = default_limit)
      : reader(extend::descriptor_access::of(stream), limit) {}
  /// Throws std::bad_alloc.
  explicit reader(standard_stream& stream, std::size_t limit = default_limit);
  reader(const reader&) = delete;
  reader& operator=(const reader&) = delete;
  ~reader();

  /// The next line, without the LF or CR LF that ends it; nothing at the end of the stream. Bytes
  /// after the last LF are a line, too. A CR counts against the limit.
  extend::read_line_wait read_line(const time_limit& timeout = forever);
  /// The next line if all of it has already arrived. Never waits, and never reads from a standard
  /// stream: there it only uses what an earlier call has read. Also returns nothing if the next
  /// call would find the end, an error, or a line that is too long; read_line() reports which.
  std::optional<std::string_view> try_read_line() noexcept;

  /// The bytes before the next `delimiter`, which must not be empty and is discarded; nothing at
  /// the end of the stream. errc::end_of_stream if the stream ends with bytes after the last
  /// delimiter; they stay in the reader. `delimiter` is borrowed until the co_await returns.
  extend::read_until_wait read_until(std::string_view delimiter,
                                     const time_limit& timeout = forever);

  /// The next `count` bytes, 0 to limit(). errc::end_of_stream if the stream ends before; the bytes
  /// that arrived stay in the reader. With errc::too_long nothing is taken or discarded.
  extend::read_exact_view_wait read_exact(std::size_t count, const time_limit& timeout = forever);

  /// Copies bytes to the front of `memory`, which must not be empty: buffered bytes, or else the
  /// next ones to arrive. Returns how many, at least 1; or 0 at the end of the stream. So a
  /// protocol can continue with raw bytes, and can read more than the limit.
  extend::read_copy_wait read_some(std::span<std::byte> memory,
                                   const time_limit& timeout = forever);

  /// Waits until `count` bytes are buffered, at most limit(), and returns a view of them and of
  /// everything contiguous with them. Takes nothing. The view has fewer than `count` bytes if the
  /// stream ends before; an empty view is the end.
  extend::peek_wait peek(std::size_t count, const time_limit& timeout = forever);
  /// The bytes that have already arrived, or the first part if they lie in two pieces. Never waits.
  std::string_view peek() noexcept;
  /// Discards the first `count` bytes of what peek() returned; more is the caller's bug and aborts.
  /// The view stays valid.
  void consume(std::size_t count) noexcept;

  std::size_t limit() const noexcept { return limit_; }

 private:
  friend class extend::file_request;
  friend class extend::read_copy_wait;
  friend class extend::read_line_wait;
  friend class extend::read_until_wait;
  friend class extend::reader_wait;
  template <bool Consumes>
  friend class extend::view_wait;

  // Exists only while a piece is incomplete: most readers, most of the time, have none.
  struct unfinished {
    std::vector<char> bytes;
    std::size_t taken = 0;    // how many of them are consumed
    std::string searched;     // the delimiter that `scanned` and `skipping` refer to
    std::size_t scanned = 0;  // how many buffered bytes it does not begin in
    bool skipping = false;    // bytes up to and including it are discarded
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

  extend::descriptor* from_;
  std::unique_ptr<extend::file_request> file_;  // of a stream that lends no buffers
  std::size_t limit_;
  std::string_view fresh_;  // in lent_ or file_
  buffer lent_;
  std::unique_ptr<unfinished> begun_;
  bool ended_ = false;  // the stream has ended, after what is buffered
  bool waiting_ = false;
};

}  // namespace ringlet

namespace ringlet::extend {

/// The base of the waits of a reader: waits until a delimiter or a number of bytes is buffered.
class reader_wait : public claiming_wait<direction::read, wait_base>, private arrival_waiter {
 public:
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  void on_cancel(cancel_reason reason) noexcept;

 protected:
  reader_wait(reader& in, const time_limit& timeout) noexcept
      : claiming_wait(*in.from_, timeout), in_(in) {}
  ~reader_wait() = default;

  virtual const wait_type& kind() const noexcept = 0;
  /// Sets what the wait is for: a delimiter, or a number of bytes.
  void want(std::string_view delimiter) noexcept {
    delimiter_ = delimiter.data();
    count_ = delimiter.size();
  }
  void want(std::size_t count) noexcept { count_ = count; }

  /// First in take(): the reason why there is nothing to take, or 0. Throws if it was an
  /// interruption.
  std::error_code failure();
  bool is_whole() const noexcept { return state_ == state::whole; }
  /// Next in take(): whether the stream ended before the wanted bytes had arrived.
  bool has_ended() const noexcept { return state_ == state::ended; }
  /// How many bytes were wanted, or lie before the delimiter.
  std::size_t count() const noexcept { return count_; }
  /// The first bytes of what is buffered, in one piece.
  result<std::string_view> view(std::size_t bytes) noexcept;
  /// For take() at the end: the stream's end has been reported.
  void tell_end() noexcept { in_.ended_ = false; }

  /// Lets the next call begin, when take() ends.
  class ending {
   public:
    explicit ending(reader_wait& wait) noexcept : wait_(wait) {}
    ending(const ending&) = delete;
    ending& operator=(const ending&) = delete;
    ~ending() {
      wait_.in_.waiting_ = false;
      wait_.end_claim();
    }

   private:
    reader_wait& wait_;
  };

  reader& in_;

 private:
  friend class file_request;
  enum class state : std::uint8_t { missing, whole, ended, too_long, failed };

  bool begin(frame_record& at) noexcept;
  bool progress() noexcept;
  bool look() noexcept;
  state look_for_delimiter() noexcept;
  state look_for_count() const noexcept;
  void wait_on() noexcept;
  void on_arrival() noexcept override;
  void on_close() noexcept override { fiber_->cancel_wait(cancel_reason::closed); }
  void go_on(bool done) noexcept;

  // Until it is whole.
  std::string_view delimiter() const noexcept { return {delimiter_, count_}; }

  const char* delimiter_ = nullptr;  // null: a number of bytes is wanted
  std::size_t count_ = 0;            // that number, or the size of the delimiter; then see count()
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

/// See reader::read_exact(), which consumes what it returns, and reader::peek().
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
