// What the tests of frames share: all formats, and a simple model on a string that predicts what
// read_frame() returns.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/frames.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "reader_model.hpp"

namespace ringlet::test {

/// A format by its properties, which the model reads instead of asking the library.
struct frame_kind {
  std::string_view name;
  frame_format format;
  std::size_t size;  // of the prefix; 0 for a varint
  bool is_big;
};

inline constexpr auto big = std::endian::big;
inline constexpr auto little = std::endian::little;

inline constexpr std::array frame_kinds{
    frame_kind{"u8", length_prefix::u8, 1, true},
    frame_kind{"u16", length_prefix::u16, 2, true},
    frame_kind{"u16, little", frame_format(length_prefix::u16, little), 2, false},
    frame_kind{"u32", {}, 4, true},
    frame_kind{"u32, little", frame_format(length_prefix::u32, little), 4, false},
    frame_kind{"u64", length_prefix::u64, 8, true},
    frame_kind{"u64, little", frame_format(length_prefix::u64, little), 8, false},
    frame_kind{"varint", length_prefix::varint, 0, true},
};

/// The prefix as text, by division instead of shifts and without the library.
inline std::string prefix_of(const frame_kind& kind, std::uint64_t length) {
  std::string made;
  if (kind.size == 0) {
    do {
      made += static_cast<char>(length % 128 + (length >= 128 ? 128 : 0));
      length /= 128;
    } while (length != 0);
    return made;
  }
  for (std::size_t i = 0; i < kind.size; ++i) {
    const char byte = static_cast<char>(length % 256);
    if (kind.is_big) {
      made.insert(made.begin(), byte);
    } else {
      made += byte;
    }
    length /= 256;
  }
  return made;
}
inline std::string frame_of(const frame_kind& kind, std::string_view bytes) {
  return prefix_of(kind, bytes.size()) + std::string(bytes);
}

/// The outcome of read_frame() in words: the frame in quotes, "end", or the error.
inline task<std::string> frame_from(reader& in, frame_format format, time_limit timeout = forever) {
  return outcome_of([&in, format, timeout] { return read_frame(in, format, timeout); });
}

inline const std::string malformed = std::make_error_code(std::errc::bad_message).message();

/// Room for every length that ten bytes of a varint can say.
__extension__ using wide = unsigned __int128;

/// The rest of the text, and what read_frame() must return.
struct frame_model {
  std::string_view left;
  std::size_t limit;

  std::string next(const frame_kind& kind) {
    if (left.empty()) return "end";
    std::size_t size = kind.size;
    wide length = 0;
    if (size == 0) {
      wide unit = 1;
      for (;; unit *= 128) {
        if (size == 10) return malformed;
        if (size == left.size()) return too_short;
        const auto byte = static_cast<unsigned char>(left[size++]);
        length += unit * (byte % 128);
        if (length >> 64 != 0) return malformed;
        if (byte < 128) break;
      }
    } else {
      if (left.size() < size) return too_short;
      for (std::size_t i = 0; i < size; ++i) {
        length = length * 256 + static_cast<unsigned char>(left[kind.is_big ? i : size - 1 - i]);
      }
    }
    if (length > limit) return too_long;
    if (left.size() - size < length) return too_short;
    const std::string frame(left.substr(size, static_cast<std::size_t>(length)));
    left.remove_prefix(size + frame.size());
    return "'" + frame + "'";
  }
};

}  // namespace ringlet::test
