// A stream of bytes in which every place is known: a piece that is lost, doubled or out of order
// shows at the first byte after it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ringlet::test {

/// The byte at that place of the stream.
inline std::byte byte_at(std::uint64_t place) noexcept {
  return static_cast<std::byte>(((place + 1) * 0x9e3779b97f4a7c15) >> 56);
}

/// `size` bytes from that place on.
inline std::vector<std::byte> bytes_from(std::uint64_t place, std::size_t size) {
  std::vector<std::byte> made(size);
  for (std::size_t i = 0; i < size; ++i) made[i] = byte_at(place + i);
  return made;
}

/// Whether these are the bytes from that place on.
inline bool are_bytes_from(std::uint64_t place, std::span<const std::byte> bytes) noexcept {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != byte_at(place + i)) return false;
  }
  return true;
}

}  // namespace ringlet::test
