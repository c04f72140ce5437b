// reader: lines, delimited pieces and exact counts from a stream of bytes.
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/descriptor.hpp>
#include <ringlet/detail/value_or_throw.hpp>
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
#include <utility>
#include <vector>

namespace ringlet {

class file_request;
class read_copy_wait;
class read_line_wait;
class read_until_wait;
class reader_wait;
class standard_stream;
class tcp_stream;

template <bool Consumes>
class view_wait;
using read_exact_view_wait = view_wait<true>;
using peek_wait = view_wait<false>;

/// Cuts what a stream brings into pieces.
///
///   reader in(stream);
///   while (const auto line = co_await in.read_line()) use(*line);
///
/// True of every call, and not repeated there:
///
///   Views         What a call returns is text or any other bytes. It stays valid until the next
///                 call on the reader, consume() excepted. It is a view of the buffer that the
///                 stream lent where the whole piece lies in one, else of the reader's own memory.
///   Limit         A piece has at most limit() bytes, without its delimiter. What is longer fails
///                 with errc::too_long, as soon as so much has come. The rest of an overlong line
///                 or delimited piece is then thrown away, up to and including its delimiter, while
///                 later calls wait for what follows it: so a server can complain and go on.
///   Memory        While nothing is buffered: none but itself; of a standard stream one buffer of
///                 options.sizes.buffer_size bytes. While a piece is not whole: what has come of
///                 it, in memory that grows by doubling, and goes when it is consumed. Never more
///                 than the limit, the delimiter and one lent buffer; in the moment of growing
///                 half the limit beside it.
///   Overlap       A call while another one waits is the caller's bug and aborts. So is one while
///                 a read of the stream itself is in flight, if it has to wait.
///   Errors        Those of the stream, as std::system_error or as_result(); closed on this side:
///                 errc::closed. not_enough_memory: no byte is lost, call again. What had been
///                 buffered before an error can still be read.
///   Cancellation  Every call is cancel-safe: what had arrived stays in the reader, and calling
///                 again goes on where it was. The `until` of a call counts as a cancellation.
///   End           A call that could be served from what is buffered still is. The end is told
///                 when nothing is left, again and again; a terminal goes on after each Ctrl-D.
///   Lifetime      Borrows the stream, which may be moved and closed, but must live as long.
///   Thread        That of the scheduler of the stream.
///
/// A reader takes more from the stream than it hands out: as long as something may be buffered,
/// read from the reader only.
class reader {
 public:
  static constexpr std::size_t default_limit = 64 * 1024;

  /// `limit`: bytes, at least 1.
  explicit reader(tcp_stream& stream, std::size_t limit = default_limit);
  /// Throws std::bad_alloc.
  explicit reader(standard_stream& stream, std::size_t limit = default_limit);
  reader(const reader&) = delete;
  reader& operator=(const reader&) = delete;
  ~reader();

  /// The next line, without the LF or CR LF that ends it; nothing at the end of the stream. What
  /// comes after the last LF is a line, too. A CR counts against the limit.
  read_line_wait read_line(const until& limit = forever);
  /// The next line if all of it has come already; never waits, nor reads from a standard stream:
  /// there it looks at what an earlier call has brought. Nothing also when the next call
  /// would find the end, an error, or a line that is too long: read_line() tells.
  std::optional<std::string_view> try_read_line() noexcept;

  /// What comes before the next `delimiter`, which must not be empty and is thrown away; nothing at
  /// the end of the stream. errc::end_of_stream when bytes come after the last delimiter: they stay
  /// in the reader. `delimiter` is borrowed until the co_await returns.
  read_until_wait read_until(std::string_view delimiter, const until& limit = forever);

  /// The next `count` bytes, 0 to limit(). errc::end_of_stream when the stream ends before; what
  /// came stays in the reader. errc::too_long takes and throws away nothing.
  read_exact_view_wait read_exact(std::size_t count, const until& limit = forever);

  /// Puts bytes at the front of `memory`, which must not be empty: what is buffered, or else what
  /// comes next. Returns how many, at least 1; or 0 at the end of the stream. So a protocol can go
  /// on with raw bytes, and read what is longer than the limit.
  read_copy_wait read_some(std::span<std::byte> memory, const until& limit = forever);

  /// Waits until `count` bytes are buffered, at most limit(), and shows all that is in one piece
  /// with them; takes nothing. Fewer than `count` when the stream ends before: none is the end.
  peek_wait peek(std::size_t count, const until& limit = forever);
  /// What has come already, or the first part of it where it lies in two pieces; never waits.
  std::string_view peek() noexcept;
  /// Throws away the first `count` bytes of what peek() showed; more is the caller's bug and
  /// aborts. The view stays valid.
  void consume(std::size_t count) noexcept;

  std::size_t limit() const noexcept { return limit_; }

 private:
  friend class file_request;
  friend class read_copy_wait;
  friend class read_line_wait;
  friend class read_until_wait;
  friend class reader_wait;
  template <bool Consumes>
  friend class view_wait;

  // What there is only while a piece is not whole: most readers, most of the time, have none.
  struct unfinished {
    std::vector<char> bytes;
    std::size_t taken = 0;    // so many of them are consumed
    std::string searched;     // the delimiter that scanned and skipping are about
    std::size_t scanned = 0;  // it does not begin in so many buffered bytes
    bool skipping = false;    // up to and including it, bytes are thrown away
  };

  // What is not consumed lies in two places: in begun_, and after it in fresh_.
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

  descriptor* from_;
  std::unique_ptr<file_request> file_;  // of a stream that lends no buffers
  std::size_t limit_;
  std::string_view fresh_;  // in lent_ or file_
  buffer lent_;
  std::unique_ptr<unfinished> begun_;
  bool ended_ = false;  // the stream has, after what is buffered
  bool waiting_ = false;
};

/// The base of the waits of a reader: until a delimiter or a number of bytes is buffered.
class reader_wait : public claiming_wait<direction::read, wait_base>, private arrival_waiter {
 public:
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  void on_cancel(cancel_reason reason) noexcept;

 protected:
  reader_wait(reader& in, const until& limit) noexcept : claiming_wait(*in.from_, limit), in_(in) {}
  ~reader_wait() = default;

  virtual const wait_type& kind() const noexcept = 0;
  /// What it waits for: a delimiter, or a number of bytes.
  void want(std::string_view delimiter) noexcept {
    delimiter_ = delimiter.data();
    count_ = delimiter.size();
  }
  void want(std::size_t count) noexcept { count_ = count; }

  /// For take(), first: why there is nothing to take, or 0. Throws when it was an interruption.
  std::error_code failure();
  bool is_whole() const noexcept { return state_ == state::whole; }
  /// For take(), then: whether the stream ended before what was wanted had come.
  bool has_ended() const noexcept { return state_ == state::ended; }
  /// How many bytes were wanted, or lie before the delimiter.
  std::size_t count() const noexcept { return count_; }
  /// The first bytes of what is buffered, in one piece.
  result<std::string_view> view(std::size_t bytes) noexcept;
  /// For take() at the end: yields nothing once nothing is left.
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
  read_line_wait(reader& in, const until& limit) noexcept : reader_wait(in, limit) { want("\n"); }
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
  read_until_wait(reader& in, std::string_view delimiter, const until& limit) noexcept;
  result<std::optional<std::string_view>> take();
  std::optional<std::string_view> await_resume() {
    return detail::value_or_throw(take(), kind().name);
  }

 private:
  const wait_type& kind() const noexcept override { return type; }
  static const wait_type type;
  std::size_t delimiter_size_;
};

/// See reader::read_exact(), which consumes what it yields, and reader::peek().
template <bool Consumes>
class [[nodiscard]] view_wait final : public reader_wait {
 public:
  view_wait(reader& in, std::size_t count, const until& limit) noexcept : reader_wait(in, limit) {
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
  read_copy_wait(reader& in, std::span<std::byte> memory, const until& limit) noexcept;
  result<std::size_t> take();
  std::size_t await_resume() { return detail::value_or_throw(take(), kind().name); }

 private:
  const wait_type& kind() const noexcept override { return type; }
  static const wait_type type;
  std::span<std::byte> memory_;
};

inline read_line_wait reader::read_line(const until& limit) { return read_line_wait(*this, limit); }
inline read_until_wait reader::read_until(std::string_view delimiter, const until& limit) {
  return read_until_wait(*this, delimiter, limit);
}
inline read_exact_view_wait reader::read_exact(std::size_t count, const until& limit) {
  return read_exact_view_wait(*this, count, limit);
}
inline read_copy_wait reader::read_some(std::span<std::byte> memory, const until& limit) {
  return read_copy_wait(*this, memory, limit);
}
inline peek_wait reader::peek(std::size_t count, const until& limit) {
  return peek_wait(*this, count, limit);
}

}  // namespace ringlet
