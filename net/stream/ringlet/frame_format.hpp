// frame_format: how the length of a frame is written before its bytes.
//
//     std::string prefixed(std::string_view text) {
//       const frame_format format(length_prefix::u16, std::endian::little);
//       std::array<char, frame_format::prefix_max> prefix;
//       const std::size_t size = format.encode_length(text.size(), prefix);
//       return std::string(prefix.data(), size) + std::string(text);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/decoded.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace ringlet {

/// The number that a frame begins with: how many bytes follow it.
enum class length_prefix : std::uint8_t {
  /// 1 byte.
  u8,
  /// 2 bytes.
  u16,
  /// 4 bytes.
  u32,
  /// 8 bytes.
  u64,
  /// 1 to 10 bytes of 7 bits each, the lowest bits first, the highest bit of a byte set if another
  /// one follows: unsigned LEB128, as in Protocol Buffers. Padding with zero bits is accepted up to
  /// 10 bytes, as there, because some programs reserve the space before they know the length.
  varint,
};

/// The prefix and its byte order. A value like any other. The length counts the bytes of the frame
/// without the prefix.
class frame_format {
 public:
  /// The bytes of the longest prefix.
  static constexpr std::size_t prefix_max = 10;

  /// `order`: that of the network is big. A varint has none.
  constexpr frame_format(length_prefix prefix = length_prefix::u32,
                         std::endian order = std::endian::big) noexcept
      : prefix_(prefix), order_(order) {}

  /// The largest length that the prefix can express.
  constexpr std::uint64_t max_length() const noexcept {
    switch (prefix_) {
      case length_prefix::u8:
        return std::numeric_limits<std::uint8_t>::max();
      case length_prefix::u16:
        return std::numeric_limits<std::uint16_t>::max();
      case length_prefix::u32:
        return std::numeric_limits<std::uint32_t>::max();
      case length_prefix::u64:
      case length_prefix::varint:
        break;
    }
    return std::numeric_limits<std::uint64_t>::max();
  }

  /// Stores the prefix of a frame of `length` bytes at the front of `memory`, and returns its size.
  /// A length above max_length() is the caller's bug and aborts.
  std::size_t encode_length(std::uint64_t length,
                            std::array<char, prefix_max>& memory) const noexcept;
  /// Takes the prefix at the front of `bytes`. std::errc::bad_message if it is not a varint of at
  /// most 10 bytes and 64 bits. The length is what the peer says, and may be any number.
  decoded<std::uint64_t> decode_length(std::string_view bytes) const noexcept;

  /// The same format.
  friend bool operator==(const frame_format&, const frame_format&) = default;

 private:
  length_prefix prefix_;
  std::endian order_;
};

}  // namespace ringlet
