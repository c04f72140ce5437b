// codec: values of a program's own types over a stream.
//
//     struct temperature {
//       std::int16_t degrees;
//     };
//
//     class temperature_codec {
//      public:
//       using value_type = temperature;
//
//       decoded<temperature> decode(std::string_view bytes) const {
//         if (bytes.size() < 2) return more_bytes(2 - bytes.size());
//         const auto high = static_cast<unsigned char>(bytes[0]);
//         const auto low = static_cast<unsigned char>(bytes[1]);
//         return decoded(temperature{static_cast<std::int16_t>(high << 8 | low)}, 2);
//       }
//       void encode(const temperature& value, std::string& out) const {
//         const auto bits = static_cast<std::uint16_t>(value.degrees);
//         out += static_cast<char>(bits >> 8);
//         out += static_cast<char>(bits & 0xff);
//       }
//     };
//
//     task<> report_frost(tcp_stream& peer) {
//       reader in(peer);
//       writer out(peer);
//       temperature_codec codec;
//       while (const auto measured = co_await read_value(in, codec)) {
//         if (measured->degrees < 0) co_await write_value(out, codec, *measured);
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/decoded.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/frame_format.hpp>
#include <ringlet/reader.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>
#include <ringlet/writer.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace ringlet {

/// A class that turns values of `value_type` into bytes and back:
///
/// - `decode(bytes)` looks at the bytes that have arrived and were not taken yet: at least one, and
///   at most as many as the limit of the reader. (Within framed, those of the frame, perhaps none.)
///   It returns the first value and how many bytes that
///   took, or more_bytes, or an error; see decoded<T>. A view in the value must refer to `bytes`.
///   When more bytes have arrived, it is called again with those and all earlier ones; the codec
///   may remember how far it had got.
/// - `encode(value, out)` appends the bytes of the value to `out`.
///
/// Both may throw exceptions of their own.
template <class C>
concept codec = requires(C& made, std::string_view bytes, const typename C::value_type& value,
                         std::string& out) {
  { made.decode(bytes) } -> std::same_as<decoded<typename C::value_type>>;
  made.encode(value, out);
};

}  // namespace ringlet

namespace ringlet::detail {

/// a + b, or the largest number.
constexpr std::size_t sum_or_most(std::size_t a, std::size_t b) noexcept {
  return b > std::numeric_limits<std::size_t>::max() - a ? std::numeric_limits<std::size_t>::max()
                                                         : a + b;
}

/// Throws errc::too_long. `what` begins the message, which names both numbers.
[[noreturn]] void throw_value_too_long(const char* what, std::uint64_t size, std::uint64_t limit);

/// The body of write_value().
template <codec Codec>
task<> encode_and_write(writer& out, Codec& format, const typename Codec::value_type& value,
                        time_limit timeout) {
  std::string bytes;
  format.encode(value, bytes);
  co_await out.write(bytes, timeout);
}

}  // namespace ringlet::detail

namespace ringlet {

/// Reads the next value; nothing at the end of the stream. The rules of reader's calls apply, also
/// to views in the value.
///
/// Limit     A value has at most in.limit() bytes, all of its bytes counted.
/// Errors    The error of decode(), as std::system_error. errc::too_long when decode() wants more
///           bytes than the limit allows; what() names both. errc::end_of_stream if the stream ends
///           within a value. What decode() throws. After each of these, nothing is taken; further
///           calls fail in the same way unless the program consumes something. Otherwise the errors
///           of reader's calls. std::bad_alloc.
/// Cancellation  Loses nothing.
/// Lifetime  Borrows the reader and the codec.
template <codec Codec>
task<std::optional<typename Codec::value_type>> read_value(reader& in, Codec& format,
                                                           time_limit timeout = forever) {
  const time_limit deadline = time_limit::at(timeout.resolve(extend::current_scheduler().now()));
  std::size_t wanted = 1;
  for (;;) {
    if (wanted > in.limit()) {
      detail::throw_value_too_long("read_value: a value of at least", wanted, in.limit());
    }
    const std::string_view arrived = co_await in.peek(wanted, deadline);
    // The portions that arrive do not decide whether a value is too long.
    const std::string_view bytes = arrived.substr(0, in.limit());
    if (bytes.empty()) co_return std::nullopt;
    if (bytes.size() < wanted) throw_error(errc::end_of_stream, "read_value");
    auto got = format.decode(bytes);
    if (got) {
      RINGLET_ASSERT(got.used() != 0 && got.used() <= bytes.size(),
                     "decode() of a codec took no bytes, or more than it was given");
      in.consume(got.used());
      co_return std::move(*got);
    }
    if (got.error()) throw std::system_error(got.error(), "read_value");
    RINGLET_ASSERT(got.more() != 0, "decode() of a codec asked for 0 more bytes");
    wanted = detail::sum_or_most(bytes.size(), got.more());
  }
}

/// Writes a value, or collects it if the writer is corked.
///
/// Errors    What encode() throws. Otherwise those of writer::write(). std::bad_alloc.
/// Cancellation  That of writer::write().
/// Lifetime  Borrows all three until the co_await returns.
template <codec Codec>
borrowing_task<void> write_value(writer& out, Codec& format,
                                 const typename Codec::value_type& value,
                                 time_limit timeout = forever) {
  return detail::encode_and_write(out, format, value, timeout);
}

/// A codec for values that are each in a frame: `Body` encodes and decodes what is in it. So
/// `framed<temperature_codec> format(length_prefix::u16)` is for read_value() and write_value().
///
/// decode() of `Body` is called once for each frame, with all of its bytes: none if its length is
/// 0. The prefix counts towards the limit of the reader.
///
/// Errors    std::errc::bad_message if the value does not take all bytes of its frame, if it would
///           need more, or if the prefix is not a valid varint. errc::too_long from encode() if the
///           prefix cannot express the length of the value.
template <codec Body>
class framed {
 public:
  using value_type = typename Body::value_type;

  /// `body` is kept.
  explicit framed(frame_format format = {}, Body body = Body()) noexcept
      : format_(format), body_(std::move(body)) {}

  /// See codec.
  decoded<value_type> decode(std::string_view bytes) {
    const auto length = format_.decode_length(bytes);
    if (length.error()) return length.error();
    if (!length) return more_bytes(length.more());
    const std::string_view rest = bytes.substr(length.used());
    if (rest.size() < *length) {
      constexpr std::uint64_t most = std::numeric_limits<std::size_t>::max();
      return more_bytes(static_cast<std::size_t>(std::min(*length - rest.size(), most)));
    }
    const auto size = static_cast<std::size_t>(*length);
    auto value = body_.decode(rest.substr(0, size));
    if (value.error()) return value.error();
    if (!value || value.used() != size) return std::make_error_code(std::errc::bad_message);
    return decoded<value_type>(std::move(*value), length.used() + size);
  }
  /// See codec.
  void encode(const value_type& value, std::string& out) {
    const std::size_t begin = out.size();
    body_.encode(value, out);
    const std::size_t size = out.size() - begin;
    if (size > format_.max_length()) {
      out.resize(begin);
      detail::throw_value_too_long("framed: a value of", size, format_.max_length());
    }
    std::array<char, frame_format::prefix_max> prefix;
    out.insert(begin, prefix.data(), format_.encode_length(size, prefix));
  }

 private:
  frame_format format_;
  Body body_;
};

}  // namespace ringlet
