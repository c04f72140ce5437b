// frames: reads and writes messages that begin with their length.
//
// A stream has no messages: two writes may arrive as one piece, and one as several. A length before
// each message tells the receiver where it ends.
//
//     task<> answer_frames(tcp_stream peer) {
//       reader in(peer, 64 * 1024);  // frames of at most 64 KiB
//       writer out(peer);
//       while (const auto frame = co_await read_frame(in, length_prefix::u32, 30s)) {
//         co_await write_frame(out, "you said: " + std::string(*frame), length_prefix::u32, 30s);
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/frame_format.hpp>
#include <ringlet/reader.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>
#include <ringlet/writer.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ringlet::extend {

/// See read_frame().
class [[nodiscard]] read_frame_wait final : public reader_wait {
 public:
  read_frame_wait(reader& in, frame_format format, const time_limit& timeout) noexcept
      : reader_wait(in, timeout), format_(format) {}
  result<std::optional<std::string_view>> take();
  std::optional<std::string_view> await_resume();

 private:
  state look_for_count() noexcept override;
  const wait_type& kind() const noexcept override { return type; }
  static const wait_type type;

  frame_format format_;
  std::size_t prefix_size_ = 0;  // 0 until the length is known
  std::uint64_t length_ = 0;
};

}  // namespace ringlet::extend

namespace ringlet {

/// Returns the next frame without its prefix, empty if its length is 0; nothing at the end of the
/// stream. The rules of reader's calls apply, also to the view that it returns. All calls of the
/// reader may follow, for instance read_some() for a body that is longer than the limit.
///
/// Limit     A frame has at most in.limit() bytes, not counting its prefix. No memory is allocated
///           for bytes that have not arrived.
/// Errors    errc::too_long as soon as the prefix of a longer frame has arrived; what() names the
///           length and the limit. std::errc::bad_message if a varint has more than 10 bytes or
///           64 bits. After both, nothing is taken and every further call fails in the same way:
///           where the next frame begins is not known, so close the stream. errc::end_of_stream if
///           the stream ends within a frame or its prefix; the bytes that arrived stay in the
///           reader. Otherwise those of reader's calls.
/// Cancellation  Loses nothing: bytes that have arrived stay in the reader, and calling again
///           continues where it stopped.
inline extend::read_frame_wait read_frame(reader& in, frame_format format = {},
                                          const time_limit& timeout = forever) {
  return extend::read_frame_wait(in, format, timeout);
}

/// Writes a frame of these bytes: the prefix and the bytes by one call of the sink, or collected if
/// the writer is corked. The bytes are borrowed until the co_await returns.
///
/// Errors    errc::too_long if the prefix cannot express the length: nothing is written. Otherwise
///           those of writer::write().
/// Cancellation  That of writer::write().
borrowing_task<void> write_frame(writer& out, std::span<const std::byte> frame,
                                 frame_format format = {}, time_limit timeout = forever);
/// The same for text.
borrowing_task<void> write_frame(writer& out, std::string_view frame, frame_format format = {},
                                 time_limit timeout = forever);
/// One frame of several pieces. The list is borrowed, too.
borrowing_task<void> write_frame(writer& out, std::span<const std::span<const std::byte>> parts,
                                 frame_format format = {}, time_limit timeout = forever);

}  // namespace ringlet
