// The numbers before frames: fixed sizes in either byte order, and varints.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/assert.hpp>
#include <ringlet/frame_format.hpp>

namespace ringlet {

namespace {

constexpr unsigned bits_of_byte = 8;
constexpr unsigned bits_of_group = 7;  // of a varint
constexpr unsigned group_max = (1u << bits_of_group) - 1;
constexpr unsigned continues = 1u << bits_of_group;

// 0 for a varint.
constexpr std::size_t fixed_size(length_prefix prefix) noexcept {
  switch (prefix) {
    case length_prefix::u8:
      return 1;
    case length_prefix::u16:
      return 2;
    case length_prefix::u32:
      return 4;
    case length_prefix::u64:
      return 8;
    case length_prefix::varint:
      break;
  }
  return 0;
}

decoded<std::uint64_t> decode_varint(std::string_view bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < frame_format::prefix_max; ++i) {
    if (i == bytes.size()) return more_bytes(1);
    const auto byte = static_cast<unsigned char>(bytes[i]);
    const std::uint64_t group = byte & group_max;
    const auto shift = static_cast<unsigned>(i) * bits_of_group;
    if (group << shift >> shift != group) break;  // more than 64 bits
    value |= group << shift;
    if ((byte & continues) == 0) return decoded<std::uint64_t>(value, i + 1);
  }
  return std::make_error_code(std::errc::bad_message);
}

}  // namespace

std::size_t frame_format::encode_length(std::uint64_t length,
                                        std::array<char, prefix_max>& memory) const noexcept {
  RINGLET_ASSERT(length <= max_length(), "a frame is longer than its prefix can express");
  const std::size_t size = fixed_size(prefix_);
  if (size == 0) {
    std::size_t used = 0;
    for (; length > group_max; length >>= bits_of_group) {
      memory[used++] = static_cast<char>((length & group_max) | continues);
    }
    memory[used] = static_cast<char>(length);
    return used + 1;
  }
  for (std::size_t i = 0; i < size; ++i) {
    memory[order_ == std::endian::little ? i : size - 1 - i] = static_cast<char>(length & 0xff);
    length >>= bits_of_byte;
  }
  return size;
}

decoded<std::uint64_t> frame_format::decode_length(std::string_view bytes) const noexcept {
  const std::size_t size = fixed_size(prefix_);
  if (size == 0) return decode_varint(bytes);
  if (bytes.size() < size) return more_bytes(size - bytes.size());
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const char byte = bytes[order_ == std::endian::big ? i : size - 1 - i];
    length = length << bits_of_byte | static_cast<unsigned char>(byte);
  }
  return decoded<std::uint64_t>(length, size);
}

}  // namespace ringlet
