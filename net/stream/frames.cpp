// Frames: the prefix and the bytes are consumed together, so that a call that is cancelled between
// them loses nothing.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/frames.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <system_error>
#include <vector>

namespace ringlet {
using namespace extend;

namespace {

using pieces = std::span<const std::span<const std::byte>>;

// The prefix as bytes, or errc::too_long.
std::span<const std::byte> prefix_of(std::uint64_t length, frame_format format,
                                     std::array<char, frame_format::prefix_max>& memory) {
  if (length > format.max_length()) {
    throw_error(errc::too_long,
                fmt::format("write_frame: a frame of {} bytes, and its prefix can express {}",
                            length, format.max_length())
                    .c_str());
  }
  const std::size_t size = format.encode_length(length, memory);
  return std::as_bytes(std::span(memory)).first(size);
}

task<> write_one(writer& out, std::span<const std::byte> frame, frame_format format,
                 time_limit timeout) {
  std::array<char, frame_format::prefix_max> memory;
  const std::array parts{prefix_of(frame.size(), format, memory), frame};
  co_await out.write(parts, timeout);
}

task<> write_several(writer& out, pieces parts, frame_format format, time_limit timeout) {
  std::uint64_t length = 0;
  for (const auto part : parts) length += part.size();
  std::array<char, frame_format::prefix_max> memory;
  std::vector<std::span<const std::byte>> all;
  all.reserve(1 + parts.size());
  all.push_back(prefix_of(length, format, memory));
  all.insert(all.end(), parts.begin(), parts.end());
  co_await out.write(all, timeout);
}

}  // namespace

// Reading

const wait_type read_frame_wait::type = make_type<read_frame_wait>("read_frame");

reader_wait::state read_frame_wait::look_for_count() noexcept {
  if (prefix_size_ == 0) {
    std::array<char, frame_format::prefix_max> memory;
    const auto length = format_.decode_length(copy_front(memory));
    if (length.error()) return state::malformed;
    if (!length) return look_for(buffered() + length.more());
    length_ = *length;
    if (length_ > in_.limit() || length_ > SIZE_MAX - memory.size()) return state::too_long;
    prefix_size_ = length.used();
    want(prefix_size_ + static_cast<std::size_t>(length_));
  }
  return look_for(count());
}

result<std::optional<std::string_view>> read_frame_wait::take() {
  const ending last(*this);
  if (const std::error_code error = failure()) return error;
  if (has_ended()) {
    if (buffered() != 0) return make_error_code(errc::end_of_stream);
    tell_end();
    return std::optional<std::string_view>();
  }
  const auto piece = take_view();
  if (!piece) return piece.error();
  return std::optional(piece->substr(prefix_size_));
}

std::optional<std::string_view> read_frame_wait::await_resume() {
  const auto taken = take();
  if (taken) return *taken;
  std::string what = type.name;
  if (taken.error() == errc::too_long) {
    what += fmt::format(": a frame of {} bytes, and the limit is {}", length_, in_.limit());
  } else if (taken.error() == std::errc::bad_message) {
    what += ": the length is not a varint of at most 10 bytes and 64 bits";
  }
  throw_error(taken.error(), what.c_str());
}

// Writing

borrowing_task<void> write_frame(writer& out, std::span<const std::byte> frame, frame_format format,
                                 time_limit timeout) {
  return write_one(out, frame, format, timeout);
}

borrowing_task<void> write_frame(writer& out, std::string_view frame, frame_format format,
                                 time_limit timeout) {
  return write_one(out, std::as_bytes(std::span(frame)), format, timeout);
}

borrowing_task<void> write_frame(writer& out, std::span<const std::span<const std::byte>> parts,
                                 frame_format format, time_limit timeout) {
  return write_several(out, parts, format, timeout);
}

}  // namespace ringlet
